"""Where components are found, and what a user is told when they are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import select_component
from advanced_models.loaders.sources import MissingFilesError, locate, model_folders, read_config


@pytest.fixture
def empty_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    """A host without any model, and an empty hub cache."""
    import advanced_models.host
    import huggingface_hub.constants

    host = StandaloneHost.below(tmp_path)
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return host


def hub_snapshot(cache: Path, repository: str, source: Path) -> Path:
    """A repository in the hub cache, laid out as `huggingface_hub` lays it out."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / ("0" * 40)
    shutil.copytree(source, snapshot)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_a_folder_named_like_the_model(use_host: object, flux_dev: Path) -> None:
    found = locate(select_component("FLUX.1-dev", "transformer"))
    assert found.folder == flux_dev / "transformer"
    assert found.label == "models/diffusers/FLUX.1-dev/transformer"


def test_shared_components_come_from_one_place(use_host: object) -> None:
    for role in ("text_encoder", "text_encoder_2", "vae"):
        assert locate(select_component("FLUX.1-dev", role)) == locate(select_component("FLUX.1-schnell", role))
    assert locate(select_component("FLUX.1-dev", "transformer")) != locate(select_component("FLUX.1-schnell", "transformer"))


def test_a_chosen_folder(empty_host: StandaloneHost, flux_dev: Path) -> None:
    mine = empty_host.models[0] / "diffusers" / "my fine-tune"
    shutil.copytree(flux_dev, mine)
    assert model_folders() == ["my fine-tune"]
    assert locate(select_component("FLUX.1-dev", "vae", source="my fine-tune")).folder == mine / "vae"
    shutil.rmtree(mine / "vae")
    with pytest.raises(MissingFilesError, match="models/diffusers/my fine-tune has no folder vae"):
        locate(select_component("FLUX.1-dev", "vae", source="my fine-tune"))


def test_the_hub_cache_comes_second(empty_host: StandaloneHost, tmp_path: Path, flux_dev: Path) -> None:
    snapshot = hub_snapshot(tmp_path / "hub", "black-forest-labs/FLUX.1-dev", flux_dev)
    component = select_component("FLUX.1-dev", "transformer")
    assert locate(component).folder == snapshot / "transformer"
    shutil.copytree(flux_dev, empty_host.models[0] / "diffusers" / "FLUX.1-dev")
    assert locate(component).folder == empty_host.models[0] / "diffusers" / "FLUX.1-dev" / "transformer"


def test_what_is_missing_is_said_with_size_gate_and_command(empty_host: StandaloneHost, tmp_path: Path) -> None:
    with pytest.raises(MissingFilesError) as missing:
        locate(select_component("FLUX.1-dev", "transformer"))
    said = str(missing.value)
    assert said.startswith("The transformer of FLUX.1 [dev] is neither in models/diffusers/FLUX.1-dev nor in the hub cache.")
    # What the folders of the repository weigh: 31.447 GiB (published measurement of the loaded pipeline), most of it in bf16.
    assert "what the model lacks, 33.7 GB in all" in said
    assert "accept the licence at https://huggingface.co/black-forest-labs/FLUX.1-dev, then `hf auth login`" in said
    assert "`hf download black-forest-labs/FLUX.1-dev --include " in said
    for folder in ("transformer", "text_encoder", "text_encoder_2", "vae", "tokenizer", "tokenizer_2", "scheduler"):
        assert f'"{folder}/*"' in said
    assert str(tmp_path) not in said


def test_only_what_is_missing_is_asked_for(empty_host: StandaloneHost, flux_dev: Path) -> None:
    mine = empty_host.models[0] / "diffusers" / "FLUX.1-dev"
    shutil.copytree(flux_dev, mine)
    shutil.rmtree(mine / "vae")
    with pytest.raises(MissingFilesError) as missing:
        locate(select_component("FLUX.1-dev", "vae"))
    # 83,819,683 parameters in bf16.
    assert "0.2 GB in all" in str(missing.value)
    assert '--include "vae/*"`' in str(missing.value)


def test_configs_of_the_real_model_serve_until_files_are_there(empty_host: StandaloneHost, flux_dev: Path) -> None:
    transformer = select_component("FLUX.1-dev", "transformer")
    assert read_config(transformer)["joint_attention_dim"] == 4096
    shutil.copytree(flux_dev, empty_host.models[0] / "diffusers" / "FLUX.1-dev")
    written = json.loads((flux_dev / "transformer" / "config.json").read_text())
    assert read_config(transformer) == written
    assert written["joint_attention_dim"] != 4096
