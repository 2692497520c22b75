"""Train the small FLUX of `demo/models/`: `python tools/train_small_flux.py STAGE --out FOLDER`, stages in order or `all`.

Nothing is read but this repository: pictures are drawn and captions written by `demo/shapes.py` and `demo/captions.py`. Every stage is
seeded and leaves its result and its loss curve in FOLDER; on one busy processor core the whole took an hour and a half.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from training.stages import run_stages

VAE_STEPS = 9_000
TRANSFORMER_STEPS = 2_200
DECODER_STEPS = 2_000


def _vae(out: Path) -> None:
    from training.picture_vae import train_vae

    train_vae(VAE_STEPS, out / "vae.loss.json").save_pretrained(out / "vae")


def _transformer(out: Path) -> None:
    from training.flux_flow import train_flow

    networks = train_flow(_trained_vae(out, "vae"), out, TRANSFORMER_STEPS, out / "transformer.loss.json")
    networks.transformer.save_pretrained(out / "transformer")
    networks.clip.save_pretrained(out / "text_encoder")
    networks.t5.save_pretrained(out / "text_encoder_2")


def _decoder(out: Path) -> None:
    from training.picture_vae import train_decoder

    vae = _trained_vae(out, "vae")
    train_decoder(vae, DECODER_STEPS, out / "decoder.loss.json")
    vae.save_pretrained(out / "vae_with_decoder")


def _write(out: Path) -> None:
    """Put the parts together as the FLUX.1 [schnell] repository has them, in bf16, into FOLDER/model."""
    import shutil

    from advanced_models.demo.text import write_json
    from advanced_models.demo.tiny_flux import MODEL_INDEX, scheduler_config
    from advanced_models.demo.weights import write_part
    from diffusers import FluxTransformer2DModel
    from transformers import CLIPTextModel, T5EncoderModel

    model = out / "model"
    write_json(model / "model_index.json", MODEL_INDEX)
    write_json(model / "scheduler" / "scheduler_config.json", scheduler_config(distilled_guidance=False))
    for tokenizer in ("tokenizer", "tokenizer_2"):
        shutil.copytree(out / tokenizer, model / tokenizer, dirs_exist_ok=True)
    write_part(CLIPTextModel.from_pretrained(out / "text_encoder"), model / "text_encoder", "bf16", prefix="text_model.")
    write_part(T5EncoderModel.from_pretrained(out / "text_encoder_2"), model / "text_encoder_2", "bf16")
    write_part(FluxTransformer2DModel.from_pretrained(out / "transformer"), model / "transformer", "bf16")
    write_part(_trained_vae(out, "vae_with_decoder" if (out / "vae_with_decoder").is_dir() else "vae"), model / "vae", "bf16")


def _trained_vae(out: Path, name: str) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(out / name)


if __name__ == "__main__":
    run_stages(__doc__, {"vae": _vae, "transformer": _transformer, "decoder": _decoder, "write": _write})
