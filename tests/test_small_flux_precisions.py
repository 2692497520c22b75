"""The trained small FLUX draws in every precision what it draws in bf16."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import advanced_models.host
import pytest
import torch
from advanced_models.demo import trained
from advanced_models.demo.captions import caption
from advanced_models.demo.classifier import classify
from advanced_models.demo.shapes import Scene, scenes
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import bundled_configs
from gguf_writer import copy_trained_config, write_trained_flux

WANTED = scenes(8, random.Random(17), unseen=True)
MARGIN = 1
"""How many pictures fewer may be right than in bf16. On many prompts: docs/small_models.md."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The trained models, and room for GGUF files of them beside."""
    folder = tmp_path_factory.mktemp("precisions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(advanced_models.host, "_standalone", StandaloneHost.below(folder, models=(trained.MODELS, folder / "models")))
        patch.setattr(bundled_configs, "BUNDLED_CONFIGS", folder / "configs")
        copy_trained_config(folder / "configs")
        yield folder / "models"


@pytest.fixture(scope="module")
def in_bf16(host: Path) -> torch.Tensor:
    """Pictures of `WANTED` as the weights are stored."""
    return painted(precision="bf16")


def painted(**options: Any) -> torch.Tensor:
    # Few steps: a processor is slow in bf16, in which quantised weights are multiplied.
    with torch.inference_mode():
        return trained.paint([caption(scene) for scene in WANTED], seed=2, steps=4, **options)


def right(pictures: torch.Tensor) -> int:
    """How many pictures have the shape, colour and background that were asked for."""
    found = [classify(picture) or Scene("", "", "") for picture in pictures.numpy()]
    return sum(
        (seen.shape, seen.colour, seen.background) == (scene.shape, scene.colour, scene.background)
        for scene, seen in zip(WANTED, found, strict=True)
    )


# The differences are means of values of 0..1: twice what was measured, so that other libraries' rounding fits in.
@pytest.mark.parametrize(("precision", "most"), [("fp8", 0.004), ("int8", 0.003), ("nf4", 0.012)])
def test_quantised_weights_keep_the_meaning(in_bf16: torch.Tensor, precision: str, most: float) -> None:
    pictures = painted(precision=precision)
    assert right(in_bf16) >= 0.85 * len(WANTED)
    assert right(pictures) >= right(in_bf16) - MARGIN
    assert 0 < (pictures - in_bf16).abs().mean() < most


@pytest.mark.parametrize(("quantisation", "most"), [("Q8_0", 0.003), ("Q4_0", 0.01)])
def test_a_gguf_file_keeps_the_meaning(host: Path, in_bf16: torch.Tensor, quantisation: str, most: float) -> None:
    pictures = painted(source=write_trained_flux(host, quantisation))
    assert right(pictures) >= right(in_bf16) - MARGIN
    assert 0 < (pictures - in_bf16).abs().mean() < most
