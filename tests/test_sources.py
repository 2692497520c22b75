"""Where components are found, and what a user is told when they are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from advanced_models.demo.build import build
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import select_component
from advanced_models.loaders.download_plan import chosen_files
from advanced_models.loaders.schema import Location
from advanced_models.loaders.sources import MissingFilesError, find, locate, model_folders, read_config
from advanced_models.loaders.weight_files import BrokenFilesError


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


PARTS = {
    "FLUX.1-dev": ("tokenizer", "tokenizer_2", "vae", "text_encoder_2", "transformer"),
    "Qwen-Image-Edit": ("tokenizer", "processor"),
    "Wan2.1-I2V-14B-480P": ("image_processor",),
}


@pytest.fixture(scope="module")
def whole_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for model in PARTS:
        build(model, folder / model)
    return folder


@pytest.mark.parametrize(("model", "role"), [(model, role) for model, roles in PARTS.items() for role in roles])
def test_a_partial_download_is_never_taken_for_complete(empty_host: StandaloneHost, whole_models: Path, model: str, role: str) -> None:
    """Cut off after any of its files, in the order in which they are downloaded."""
    component = select_component(model, role)
    whole, mine = whole_models / model / role, empty_host.models[0] / "diffusers" / model / role
    listed = [SimpleNamespace(rfilename=path.name, size=path.stat().st_size, blob_id=path.name, lfs=None) for path in whole.iterdir()]
    files = chosen_files(listed, Location(repository="a/b"), weights=bool(component.entry.parameters))
    assert {file.name for file in files} == {path.name for path in whole.iterdir()}
    mine.mkdir(parents=True)
    for file in files:
        assert find(component) is None
        with pytest.raises(BrokenFilesError, match=f"models/diffusers/{model}/{role} (lacks|holds no weights)"):
            locate(component)
        shutil.copy(whole / file.name, mine)
    assert find(component) == locate(component)


@pytest.mark.parametrize(
    ("role", "lost"), [("tokenizer", "merges.txt"), ("tokenizer", "vocab.json"), ("tokenizer_2", "tokenizer_config.json")]
)
def test_what_a_part_lacks_is_named(empty_host: StandaloneHost, whole_models: Path, role: str, lost: str) -> None:
    """Whoever downloaded it, in whichever order."""
    shutil.copytree(whole_models / "FLUX.1-dev", empty_host.models[0] / "diffusers" / "FLUX.1-dev")
    (empty_host.models[0] / "diffusers" / "FLUX.1-dev" / role / lost).unlink()
    with pytest.raises(BrokenFilesError, match=f"models/diffusers/FLUX.1-dev/{role} lacks {lost}: the download did not finish"):
        locate(select_component("FLUX.1-dev", role))


def test_a_folder_that_lacks_files_hides_no_whole_copy(empty_host: StandaloneHost, tmp_path: Path, whole_models: Path) -> None:
    model = whole_models / "FLUX.1-dev"
    snapshot = hub_snapshot(tmp_path / "hub", "black-forest-labs/FLUX.1-dev", model)
    mine = empty_host.models[0] / "diffusers" / "FLUX.1-dev"
    shutil.copytree(model, mine)
    config = mine / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"joint_attention_dim": 7}))
    for part, name in (("transformer", "diffusion_pytorch_model-00002-of-00002.safetensors"), ("tokenizer", "vocab.json")):
        (mine / part / name).unlink()
        assert locate(select_component("FLUX.1-dev", part)).folder == snapshot / part
    vae = mine / "vae" / "diffusion_pytorch_model.safetensors"
    vae.write_bytes(vae.read_bytes()[:-1])
    assert locate(select_component("FLUX.1-dev", "vae")).folder == snapshot / "vae"
    assert locate(select_component("FLUX.1-dev", "text_encoder")).folder == mine / "text_encoder"
    # The config is that of the files which are read.
    assert read_config(select_component("FLUX.1-dev", "transformer"))["joint_attention_dim"] == 32


def test_what_an_older_snapshot_holds_is_found(empty_host: StandaloneHost, tmp_path: Path, whole_models: Path) -> None:
    """A repository changed, and one part of it was downloaded since."""
    old = hub_snapshot(tmp_path / "hub", "black-forest-labs/FLUX.1-dev", whole_models / "FLUX.1-dev")
    new = old.parent / ("1" * 40)
    shutil.copytree(old / "vae", new / "vae")
    (old.parent.parent / "refs" / "main").write_text("1" * 40)
    assert locate(select_component("FLUX.1-dev", "vae")).folder == new / "vae"
    assert locate(select_component("FLUX.1-dev", "tokenizer")).folder == old / "tokenizer"
