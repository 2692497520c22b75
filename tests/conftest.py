"""What tests share: small models with the real classes, built once a session, and a host that finds them."""

from __future__ import annotations

import os

# Before anything imports torch or the hub. One thread, because small models lose time on more and results must not
# depend on how many there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import advanced_models.host
import pytest
from advanced_models.demo.build import build
from advanced_models.demo.tiny_wan import WAN_LAYOUTS
from advanced_models.host.standalone import StandaloneHost
from single_file_models import empty, own  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small FLUX.1-dev and FLUX.1-schnell in bf16, under `diffusers/`. Shared: tests must not write into it."""
    folder = tmp_path_factory.mktemp("models")
    for model in ("FLUX.1-dev", "FLUX.1-schnell"):
        build(model, folder / "diffusers" / model)
    return folder


@pytest.fixture(scope="session")
def flux_dev(models_folder: Path) -> Path:
    """The folder of the small FLUX.1-dev."""
    return models_folder / "diffusers" / "FLUX.1-dev"


@pytest.fixture(scope="session")
def flux_schnell(models_folder: Path) -> Path:
    """The folder of the small FLUX.1-schnell."""
    return models_folder / "diffusers" / "FLUX.1-schnell"


@pytest.fixture(scope="session")
def wan_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small Wan models in bf16, under `diffusers/`. Shared: tests must not write into it."""
    folder = tmp_path_factory.mktemp("wan_models")
    for model in WAN_LAYOUTS:
        build(model, folder / "diffusers" / model)
    return folder


@pytest.fixture
def use_host(models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    """A host on the small FLUX models with empty input, output, temp and user folders, in place for this test alone."""
    return _host(models_folder, tmp_path, monkeypatch)


@pytest.fixture
def wan_host(wan_models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    """The same on the small Wan models."""
    return _host(wan_models_folder, tmp_path, monkeypatch)


def _host(models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    host = StandaloneHost.below(tmp_path, models=(models_folder,))
    for folder in (host.input_folder, host.output_folder, host.temp_folder, host.user_folder):
        folder.mkdir(parents=True)
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    return host
