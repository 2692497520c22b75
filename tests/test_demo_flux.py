"""The small FLUX models: real layout, real classes, reproducible, and every condition changes the picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from advanced_models.demo.build import build


def digests(folder: Path) -> dict[str, str]:
    """The checksum of every file below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def pipeline(flux_dev: Path) -> Any:
    import torch
    from diffusers import FluxPipeline

    pipeline = FluxPipeline.from_pretrained(flux_dev, torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any, prompt: str = "a red fox", **options: Any) -> Any:
    import torch

    settings: dict[str, Any] = {"height": 64, "width": 96, "num_inference_steps": 2, "output_type": "pt", **options}
    return pipeline(prompt, generator=torch.Generator().manual_seed(0), **settings).images.float()


def test_two_builds_are_identical_file_by_file(flux_dev: Path, tmp_path: Path) -> None:
    assert digests(build("flux", tmp_path / "again")) == digests(flux_dev)


def test_the_monolithic_pipeline_loads_the_folder_and_draws(pipeline: Any) -> None:
    picture = draw(pipeline)
    assert picture.shape == (1, 3, 64, 96)
    assert picture.isfinite().all()
    assert picture.std() > 0.1  # not a grey plane


@pytest.mark.parametrize(
    "change",
    [{"prompt": "a blue car"}, {"prompt_2": "a blue car"}, {"guidance_scale": 7.0}],
    ids=["prompt", "t5 prompt alone", "guidance"],
)
def test_every_condition_changes_the_picture(pipeline: Any, change: dict[str, Any]) -> None:
    difference = (draw(pipeline) - draw(pipeline, **change)).abs().mean()
    assert difference > 2 / 255


def test_schnell_has_no_guidance_and_a_plain_schedule(flux_dev: Path, flux_schnell: Path) -> None:
    def config(folder: Path, part: str) -> Any:
        return json.loads((folder / part).read_text(encoding="utf-8"))

    assert config(flux_dev, "transformer/config.json")["guidance_embeds"] is True
    assert config(flux_schnell, "transformer/config.json")["guidance_embeds"] is False
    dev, schnell = (config(folder, "scheduler/scheduler_config.json") for folder in (flux_dev, flux_schnell))
    assert (dev["shift"], dev["use_dynamic_shifting"]) == (3.0, True)
    assert (schnell["shift"], schnell["use_dynamic_shifting"]) == (1.0, False)
    assert config(flux_dev, "vae/config.json")["latent_channels"] == 16


def test_stored_as_the_real_repositories_store_it(flux_dev: Path) -> None:
    from safetensors import safe_open

    # The large parts in shards with an index, the tensor names of the text encoder with the prefix that transformers 5
    # leaves out.
    assert (flux_dev / "transformer" / "diffusion_pytorch_model-00001-of-00002.safetensors").is_file()
    assert (flux_dev / "text_encoder_2" / "model.safetensors.index.json").is_file()
    with safe_open(flux_dev / "text_encoder" / "model.safetensors", "pt") as file:
        names = list(file.keys())
        assert all(name.startswith("text_model.") for name in names)
        assert {file.get_slice(name).get_dtype() for name in names} == {"BF16"}


def test_dtype_of_the_stored_weights(tmp_path: Path) -> None:
    from safetensors import safe_open

    folder = build("FLUX.1-schnell", tmp_path / "fp32", dtype="fp32")
    with safe_open(folder / "vae" / "diffusion_pytorch_model.safetensors", "pt") as file:
        assert file.get_slice("decoder.conv_in.weight").get_dtype() == "F32"
