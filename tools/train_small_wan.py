"""Train the small Wan of `demo/models/`: `python tools/train_small_wan.py STAGE --out FOLDER`, stages in order or `all`.

One shape moves left, right, up or down, grows or shrinks for nine frames of 64x64; see `demo/clips.py`. Nothing is read but this
repository. Every stage is seeded, leaves its result and its loss curve in FOLDER, and goes on where it was stopped; on one processor core
the whole takes an hour.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from training.stages import run_stages

TRANSFORMER_STEPS = 6_000
DECODER_STEPS = 3_200
ENCODER_STEPS = 1_700


def _latents(out: Path) -> None:
    from training.clip_latents import find_components, save_components

    save_components(find_components(), out / "components.safetensors")


def _transformer(out: Path) -> None:
    from training.clip_latents import load_components
    from training.wan_flow import train_flow

    components = load_components(out / "components.safetensors")
    transformer, umt5 = train_flow(components, out, TRANSFORMER_STEPS, out / "wan_transformer.loss.json")
    transformer.save_pretrained(out / "transformer")
    umt5.save_pretrained(out / "text_encoder")


def _decoder(out: Path) -> None:
    import torch
    from training.clip_latents import load_components
    from training.clip_vae import new_vae, train_decoder

    torch.manual_seed(39)
    vae = new_vae()
    train_decoder(vae, load_components(out / "components.safetensors"), DECODER_STEPS, out / "wan_decoder.loss.json")
    vae.save_pretrained(out / "vae_without_encoder")


def _encoder(out: Path) -> None:
    from diffusers import AutoencoderKLWan
    from training.clip_latents import load_components
    from training.clip_vae import train_encoder

    vae = AutoencoderKLWan.from_pretrained(out / "vae_without_encoder")
    train_encoder(vae, load_components(out / "components.safetensors"), ENCODER_STEPS, out / "wan_encoder.loss.json")
    vae.save_pretrained(out / "vae")


def _write(out: Path) -> None:
    """Put the parts together as the Wan2.2-TI2V-5B repository has them, in bf16, into FOLDER/model."""
    import shutil

    from advanced_models.demo.tiny_wan import WAN_LAYOUTS, write_wan_companions
    from advanced_models.demo.weights import write_part
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5EncoderModel

    model = out / "model"
    write_wan_companions(model, WAN_LAYOUTS["Wan2.2-TI2V-5B"])
    shutil.copytree(out / "tokenizer", model / "tokenizer", dirs_exist_ok=True)
    parts: dict[str, Any] = {"text_encoder": UMT5EncoderModel, "transformer": WanTransformer3DModel, "vae": AutoencoderKLWan}
    for name, made_by in parts.items():
        write_part(made_by.from_pretrained(out / name), model / name, "bf16")


if __name__ == "__main__":
    run_stages(__doc__, {"latents": _latents, "transformer": _transformer, "decoder": _decoder, "encoder": _encoder, "write": _write})
