"""Train a small Wan 2.1: `python tools/train_small_wan.py STAGE --out FOLDER`, stages in order or `all`.

One shape moves left, right, up or down, grows or shrinks for nine frames of 64x64; see `training/clips.py`. Every stage is seeded, leaves
its result and its loss curve in FOLDER, and goes on where it was stopped. No weights of it ship: with these steps the motion was right
in 20 % of 60 prompts (17 % is chance), the shape in 18 %. VAE (40 minutes of a processor core) and transformer (10) need many more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from training.stages import run_stages

PICTURE_STEPS = 900
CLIP_STEPS = 600
TRANSFORMER_STEPS = 1_000


def _pictures(out: Path) -> None:
    import torch
    from training.clip_vae import new_vae, train_pictures

    torch.manual_seed(39)
    vae = new_vae()
    train_pictures(vae, PICTURE_STEPS, out / "wan_vae_pictures.loss.json")
    vae.save_pretrained(out / "vae_of_pictures")


def _clips(out: Path) -> None:
    from training.clip_vae import train_clips

    vae = _vae(out, "vae_of_pictures")
    train_clips(vae, CLIP_STEPS, out / "wan_vae_clips.loss.json")
    vae.save_pretrained(out / "vae")


def _transformer(out: Path) -> None:
    from training.wan_flow import train_flow

    transformer, umt5 = train_flow(_vae(out, "vae"), out, TRANSFORMER_STEPS, out / "wan_transformer.loss.json")
    transformer.save_pretrained(out / "transformer")
    umt5.save_pretrained(out / "text_encoder")


def _write(out: Path) -> None:
    """Put the parts together as the Wan2.1-T2V-1.3B repository has them, in bf16, into FOLDER/model."""
    import shutil

    from advanced_models.demo.tiny_wan import WAN_LAYOUTS, write_wan_companions
    from advanced_models.demo.weights import write_part
    from diffusers import WanTransformer3DModel
    from transformers import UMT5EncoderModel

    model = out / "model"
    write_wan_companions(model, WAN_LAYOUTS["Wan2.1-T2V-1.3B"])
    shutil.copytree(out / "tokenizer", model / "tokenizer", dirs_exist_ok=True)
    write_part(UMT5EncoderModel.from_pretrained(out / "text_encoder"), model / "text_encoder", "bf16")
    write_part(WanTransformer3DModel.from_pretrained(out / "transformer"), model / "transformer", "bf16")
    write_part(_vae(out, "vae"), model / "vae", "bf16")


def _vae(out: Path, name: str) -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan.from_pretrained(out / name)


if __name__ == "__main__":
    run_stages(__doc__, {"pictures": _pictures, "clips": _clips, "transformer": _transformer, "write": _write})
