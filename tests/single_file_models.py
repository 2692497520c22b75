"""Small models with empty folders for single files beside them, and what a component in one file must be equal to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import advanced_models.host
import pytest
import torch
from advanced_models.demo.build import build
from advanced_models.demo.tiny_qwen import QWEN_IMAGE_LAYOUTS
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import bundled_configs
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.registry import load_registry

Own = Callable[..., Path]
"""Makes the small model of the given id the real one, changed by a function of its folder if one is given, and returns the folder."""


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with empty folders for single files, and an empty hub cache."""
    import huggingface_hub.constants

    models = tmp_path / "models"
    for kind in ("diffusion_models", "text_encoders", "vae", "clip_vision"):
        (models / kind).mkdir(parents=True)
    monkeypatch.setattr(advanced_models.host, "_standalone", StandaloneHost.below(tmp_path, models=(models,)))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return models


@pytest.fixture
def own(empty: Path, models_folder: Path, wan_models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    """The configs of a small model in place of the bundled ones, and its folder beside empty folders for single files."""
    models = empty
    configs = tmp_path / "configs"
    monkeypatch.setattr(bundled_configs, "BUNDLED_CONFIGS", configs)

    def take(model: str, change: Callable[[Path], None] | None = None) -> Path:
        source = next(
            (root / "diffusers" / model for root in (models_folder, wan_models_folder) if (root / "diffusers" / model).is_dir()), None
        )
        folder = models / "diffusers" / model
        if model in QWEN_IMAGE_LAYOUTS and QWEN_IMAGE_LAYOUTS[model].missing_from_diffusers():
            pytest.skip("the installed diffusers does not have this model")
        if source is None:
            build(model, folder)
        else:
            shutil.copytree(source, folder)
        if change is not None:
            change(folder)
        for role, component in load_registry().model(model).components.items():
            for config in (folder / role).glob("*config.json"):
                if config.name in ("config.json", "scheduler_config.json"):
                    (configs / component).mkdir(parents=True)
                    shutil.copy(config, configs / component)
        return folder

    return take


def same(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    for name, tensor in ours.state_dict().items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name
    assert {n: p.requires_grad for n, p in ours.named_parameters()} == {n: p.requires_grad for n, p in theirs.named_parameters()}
    # Buffers are no part of the state where they are computed: positions, frequencies.
    buffers = dict(theirs.named_buffers())
    assert all(torch.equal(buffer, buffers[name]) and buffer.dtype == buffers[name].dtype for name, buffer in ours.named_buffers())


def chosen(model: str, role: str, kind: str) -> Component:
    return select_component(model, role, source=f"{kind}/mine.safetensors")
