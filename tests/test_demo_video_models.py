"""The small Wan models load with the pipeline their index names, and draw."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from advanced_models.demo.build import build
from advanced_models.demo.tiny_wan import WAN_LAYOUTS


@pytest.fixture
def no_ftfy(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers 0.36 repairs prompts with ftfy whether it is there or not."""

    for module in ("pipeline_wan", "pipeline_wan_i2v"):
        wan = importlib.import_module(f"diffusers.pipelines.wan.{module}")
        if not hasattr(wan, "ftfy"):
            monkeypatch.setattr(wan, "ftfy", SimpleNamespace(fix_text=str), raising=False)


@pytest.mark.parametrize("model", WAN_LAYOUTS)
def test_wan_draws_and_every_condition_counts(model: str, tmp_path: Path, no_ftfy: None) -> None:
    import torch
    from diffusers import DiffusionPipeline
    from PIL import Image

    pipeline = DiffusionPipeline.from_pretrained(build(model, tmp_path / model), torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    pictures = {color: Image.new("RGB", (64, 64), color) for color in ("red", "green")}

    def draw(prompt: str = "a red fox", color: str = "red") -> Any:
        options: dict[str, Any] = {"image": pictures[color]} if WAN_LAYOUTS[model].from_image else {}
        if WAN_LAYOUTS[model].last_image:
            options["last_image"] = pictures["red"]
        noise = torch.Generator().manual_seed(0)
        sizes = {"height": 64, "width": 64, "num_frames": 5, "num_inference_steps": 2}
        return pipeline(prompt=prompt, negative_prompt="blurry", generator=noise, output_type="pt", **sizes, **options).frames.float()

    frames = draw()
    assert frames.shape == (1, 5, 3, 64, 64)
    assert frames.isfinite().all()
    assert (frames - draw("a blue car")).abs().mean() > 1 / 255
    if WAN_LAYOUTS[model].from_image:
        assert (frames - draw(color="green")).abs().mean() > 1 / 255


def test_the_experts_of_a14b_differ(tmp_path: Path) -> None:
    from diffusers import WanTransformer3DModel

    folder = build("Wan2.2-T2V-A14B", tmp_path / "model")
    first, second = (WanTransformer3DModel.from_pretrained(folder / part) for part in ("transformer", "transformer_2"))
    assert not (first.proj_out.weight == second.proj_out.weight).all()


def test_latent_channels_and_schedule_are_the_real_ones(tmp_path: Path) -> None:
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler

    folder = build("Wan2.2-TI2V-5B", tmp_path / "model")
    vae = AutoencoderKLWan.from_pretrained(folder / "vae")
    assert (vae.config.z_dim, vae.config.scale_factor_spatial, vae.config.scale_factor_temporal) == (48, 16, 4)
    assert UniPCMultistepScheduler.from_pretrained(folder / "scheduler").config.flow_shift == 5.0
