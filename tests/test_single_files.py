"""Text encoders in one file: the same weights as the folder's, whichever way they are stored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import sources
from advanced_models.loaders.component import select_component
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.single_files import file_sources, holds
from advanced_models.loaders.store import Store
from safetensors.torch import load_file, save_file

SOURCE = "text_encoders/mine.safetensors"


@pytest.fixture
def folder(use_host: StandaloneHost, flux_dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `text_encoders` folder, and the small models' configs in place of the real ones."""
    configs = tmp_path / "configs"
    for name, role in (("t5-xxl-encoder", "text_encoder_2"), ("clip-l-encoder", "text_encoder")):
        (configs / name).mkdir(parents=True)
        shutil.copy(flux_dev / role / "config.json", configs / name)
    monkeypatch.setattr(sources, "BUNDLED_CONFIGS", configs)
    files = tmp_path / "own" / "text_encoders"
    files.mkdir(parents=True)
    monkeypatch.setattr(StandaloneHost, "model_folders", _with(files, StandaloneHost.model_folders))
    return files


def _with(files: Path, original: Callable[[StandaloneHost, str], list[Path]]) -> Callable[[StandaloneHost, str], list[Path]]:
    return lambda host, kind: [files] if kind == "text_encoders" else original(host, kind)


def _stored(model: Path, role: str) -> dict[str, torch.Tensor]:
    return {name: tensor for path in sorted((model / role).glob("*.safetensors")) for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("role", ["text_encoder", "text_encoder_2"])
def test_a_file_gives_the_part_that_it_holds_and_auto_the_rest(folder: Path, flux_dev: Path, role: str) -> None:
    save_file(_stored(flux_dev, role), folder / "mine.safetensors")
    assert file_sources() == [SOURCE]
    chosen = select_component("FLUX.1-dev", role, source=SOURCE)
    with Store().use(chosen, select_component("FLUX.1-dev", role)) as (ours, theirs):
        assert ours is not theirs
        expected = theirs.state_dict()
        assert ours.state_dict().keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())
    assert sources.locate(chosen.sibling("vae")) == sources.locate(select_component("FLUX.1-dev", "vae"))
    assert sources.locate(chosen.tokenizer()).file is None


@pytest.mark.parametrize(("scale_name", "marks"), [("scale_weight", ["scaled_fp8"]), ("weight_scale", ["encoder.block.0.comfy_quant"])])
def test_scaled_fp8_is_multiplied_by_its_scale(folder: Path, flux_dev: Path, scale_name: str, marks: list[str]) -> None:
    tensors = _stored(flux_dev, "text_encoder_2")
    weight = "encoder.block.0.layer.0.SelfAttention.q.weight"
    scale = tensors[weight].float().abs().max() / 448
    eight = (tensors[weight].float() / scale).to(torch.float8_e4m3fn)
    tensors |= {weight: eight, weight.replace("q.weight", f"q.{scale_name}"): scale} | {mark: torch.zeros(2) for mark in marks}
    save_file(tensors, folder / "mine.safetensors")
    with Store().use(select_component("FLUX.1-dev", "text_encoder_2", source=SOURCE)) as (module,):
        assert torch.equal(module.get_parameter(weight), (eight.float() * scale).to(torch.bfloat16))


def test_what_is_refused(folder: Path) -> None:
    for name in (SOURCE, "text_encoders/../../secret.safetensors"):
        with pytest.raises(UserError, match="There is no file"):
            sources.locate(select_component("FLUX.1-dev", "text_encoder", source=name))
    save_file({"shared.weight": torch.zeros(3, 5)}, folder / "mine.safetensors")
    with pytest.raises(UserError, match=r"holds no text encoder of FLUX.1 \[dev\]"):
        sources.locate(select_component("FLUX.1-dev", "text_encoder", source=SOURCE))
    header = json.dumps({"shared.weight": {"shape": [3, 5]}}).encode()
    (folder / "mine.safetensors").write_bytes(len(header).to_bytes(8, "little") + header[:-4])
    with pytest.raises(UserError):
        sources.locate(select_component("FLUX.1-dev", "text_encoder", source=SOURCE))


@pytest.mark.parametrize(
    ("name", "shape", "component"),
    [
        ("shared.weight", (32128, 4096), "t5-xxl-encoder"),
        ("encoder.embed_tokens.weight", (32128, 4096), "t5-xxl-encoder"),
        ("shared.weight", (256384, 4096), "umt5-xxl-encoder"),
        ("text_model.embeddings.token_embedding.weight", (49408, 768), "clip-l-encoder"),
    ],
)
def test_the_full_size_encoders_are_told_by_their_header(tmp_path: Path, name: str, shape: tuple[int, int], component: str) -> None:
    """Shapes of the published files; the header alone is there, and no other encoder of this pack's loaders takes the file."""
    header = json.dumps({name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "renamed.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    found = []
    for entry_id in ("t5-xxl-encoder", "umt5-xxl-encoder", "clip-l-encoder", "qwen2.5-vl-7b", "flux1-vae"):
        entry = load_registry().component(entry_id)
        config = sources.bundled_config(entry)
        assert config is not None
        if holds(path, entry, json.loads(config.read_text())):
            found.append(entry_id)
    assert found == [component]
