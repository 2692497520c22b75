"""What is downloaded: only what is used, from the smallest exact copy, and nothing at all where the disk is too small for all of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.demo.build import build
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import downloads
from advanced_models.loaders.component import select_component
from advanced_models.loaders.download_plan import DownloadPlan, RemoteFile, check_disk, missing_bytes
from advanced_models.loaders.registry import load_registry
from hub_server import Hub, client_environment, run_command
from safetensors.torch import load_file, save, save_file

SCHNELL, WAN, A14B = "FLUX.1-schnell", "Wan2.1-T2V-1.3B", "Wan2.2-T2V-A14B"
UNUSED = {
    "flux1-schnell.safetensors": b"all of it once more",
    "ae.safetensors": b"and the VAE",
    "vae/diffusion_pytorch_model.fp16.safetensors": b"in fp16",
    "text_encoder/pytorch_model.bin": b"a pickle",
    "text_encoder/flax_model.msgpack": b"for others",
    "text_encoder/model.onnx": b"for others",
    "transformer/README.md": b"words",
    "schnell_grid.jpeg": b"a picture",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models, stored as the real ones are: transformers and VAEs of Wan in float32, of Wan 2.1 the text encoder as well."""
    base = tmp_path_factory.mktemp("models")
    found = {model: base / model for model in (SCHNELL, WAN, A14B)}
    for model, folder in found.items():
        build(model, folder)
    parts = {A14B: ("transformer", "transformer_2", "vae"), WAN: ("transformer", "text_encoder", "vae")}
    for folder in (found[model] / role for model, roles in parts.items() for role in roles):
        for path in folder.glob("*.safetensors"):
            save_file({name: tensor.float() for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    return found


@pytest.fixture
def hub(folders: dict[str, Path]) -> Iterator[Hub]:
    """A hub with these models, and in FLUX's repository all that the real one holds besides."""
    contents = {load_registry().model(model).repository: files_of(folder) for model, folder in folders.items()}
    server = Hub(str(load_registry().model(SCHNELL).repository), {**contents.pop(load_registry().model(SCHNELL).repository), **UNUSED})
    server.repositories |= contents  # type: ignore[arg-type]
    yield server
    server.shutdown()
    server.server_close()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(hub: Hub, folder: Path, *arguments: str, **settings: str) -> str:
    """What `advanced-models download` prints, in an empty ComfyUI folder."""
    return run_command(hub, folder, "download", *arguments, **settings)


def planned(printed: str) -> dict[str, int]:
    """File -> bytes of the printed table."""
    return {name: int(size.replace(",", "")) for name, size in re.findall(r"^  (\S+) +([\d,]+)", printed, re.MULTILINE)}


def write_overlay(user_folder: Path, folders: dict[str, Path]) -> None:
    """The small models' numbers of parameters in place of the real ones."""
    counts: dict[str, dict[str, int]] = {}
    for model, folder in folders.items():
        for role, entry in load_registry().model(model).entries.items():
            tensors = [tensor for path in (folder / role).glob("*.safetensors") for tensor in load_file(path).values()]
            if entry.parameters:
                counts[entry.id] = {"parameters": sum(tensor.numel() for tensor in tensors)}
    user_folder.mkdir(parents=True)
    (user_folder / "registry.yaml").write_text(json.dumps({"components": counts}))


@pytest.mark.parametrize("model", [SCHNELL, A14B])
def test_a_dry_run_says_what_the_registry_says(
    hub: Hub, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """The bytes of all tensors; FLUX's repository holds them twice, the experts of A14B are stored in float32."""
    host = StandaloneHost.below(tmp_path)
    write_overlay(host.user_folder, folders)
    printed = command(hub, tmp_path, model, "--dry-run")
    files = planned(printed)
    # The hub cache holds equal files once: the configs of both experts.
    contents = {(folders[model] / name).read_bytes() for name in files}
    assert f"to download: {sum(map(len, contents)):,} bytes" in printed
    assert not hub.sent
    weights = {name: size for name, size in files.items() if name.endswith(".safetensors")}
    headers = 0
    for name in weights:
        with (folders[model] / name).open("rb") as file:
            headers += 8 + int.from_bytes(file.read(8), "little")
    monkeypatch.setattr("advanced_models.host._standalone", host)
    said = load_registry().model(model)
    assert sum(weights.values()) - headers == said.download_bytes
    if model == A14B:
        experts = sum(entry.parameters * 4 for role, entry in said.entries.items() if role.startswith("transformer"))
        assert sum(size for name, size in weights.items() if name.startswith("transformer")) > experts


def test_only_what_is_used_is_planned(hub: Hub, tmp_path: Path) -> None:
    """What diffusers itself brings of this repository."""
    fetch = f"import diffusers; print(diffusers.DiffusionPipeline.download({hub.repository!r}, use_safetensors=True, variant=None))"
    done = subprocess.run([sys.executable, "-c", fetch], env=client_environment(hub, tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    brought = set(files_of(Path(done.stdout.strip().splitlines()[-1]))) - {"model_index.json"}
    assert set(planned(command(hub, tmp_path / "empty", SCHNELL, "--dry-run"))) == brought


def test_a_download_is_whole_and_nothing_is_left_to_do(hub: Hub, folders: dict[str, Path], tmp_path: Path) -> None:
    files = planned(command(hub, tmp_path, SCHNELL))
    again = command(hub, tmp_path, SCHNELL)
    assert "to download: 0 bytes" in again
    assert not planned(again)
    (snapshot,) = (tmp_path / "hf" / "hub").glob("*/snapshots/*")
    assert files_of(snapshot) == {name: (folders[SCHNELL] / name).read_bytes() for name in files}


def test_a_precision_decides_the_copy_and_the_memory(hub: Hub, tmp_path: Path) -> None:
    """The repository of Wan 2.1 holds UMT5 in float32, that of 2.2 in bf16: half the bytes for the same encoder."""
    plain, exact = (command(hub, tmp_path, WAN, "--precision", precision, "--dry-run") for precision in ("nf4", "fp32"))
    own, other = hub.repositories["Wan-AI/Wan2.1-T2V-1.3B-Diffusers"], hub.repositories["Wan-AI/Wan2.2-T2V-A14B-Diffusers"]
    shard = "text_encoder/model-00001-of-00002.safetensors"
    assert planned(plain)[shard] == len(other[shard])
    assert planned(exact)[shard] == len(own[shard])
    assert "text_encoder       Wan-AI/Wan2.2-T2V-A14B-Diffusers" in plain
    # UMT5-XXL: 5.68 billion parameters, of which nf4 leaves the embedding and `wo` alone; its VAE stays in float32.
    sizes = {role: int(size.replace(",", "")) for size, role in re.findall(r"in memory: +([\d,]+) bytes \((\w+), nf4\)", plain)}
    assert set(sizes) == {"transformer", "text_encoder"}
    assert "(vae, fp32)" in plain
    assert 0.9e9 > sizes["transformer"] > 0.5625 * 1_418_996_800


def test_the_disk_is_checked_for_the_sum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def plan(name: str) -> DownloadPlan:
        return DownloadPlan(f"owner/{name}", "c", (RemoteFile(f"{name}/x", 6 * 10**9, name),), tmp_path, False, False)

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 0, 10**10))  # type: ignore[attr-defined]
    check_disk([plan("one")])
    check_disk([plan("one"), plan("one")])
    assert missing_bytes([plan("one"), plan("two")]) == 12 * 10**9
    with pytest.raises(UserError, match=r"owner/one, owner/two needs 12\.00 GB more and the disk has 10\.00 GB free: free some space"):
        check_disk([plan("one"), plan("two")])


@pytest.fixture
def small_disk(tmp_path: Path) -> dict[str, str]:
    """Makes a process believe that little is free, through Python's own hook."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, shutil\nshutil.disk_usage = lambda _: shutil._ntuple_diskusage(0, 0, int(os.environ['FREE']))\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}


def test_a_disk_that_takes_each_part_but_not_all_refuses_before_the_first(hub: Hub, tmp_path: Path, small_disk: dict[str, str]) -> None:
    sizes = [size for name, size in planned(command(hub, tmp_path, SCHNELL, "--dry-run")).items()]
    said = command(hub, tmp_path, SCHNELL, **small_disk, FREE=str(sum(sizes) - 1))
    assert "GB free: free some space, or set HF_HOME" in said
    assert not hub.sent
    assert "GB free:" not in command(hub, tmp_path, SCHNELL, **small_disk, FREE=str(sum(sizes)))
    assert hub.sent


def test_parts_that_are_used_together_are_checked_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("advanced_models.host._standalone", StandaloneHost.below(tmp_path))
    asked: list[Any] = []
    monkeypatch.setattr(downloads, "allowed", lambda: True)
    monkeypatch.setattr(downloads, "plan", lambda part: part)
    monkeypatch.setattr(downloads, "download", asked.append)
    clip_l, t5_xxl = (select_component(SCHNELL, role) for role in ("text_encoder", "text_encoder_2"))
    with pytest.raises(UserError, match="neither in models"):
        downloads.obtain(clip_l, clip_l, t5_xxl)
    assert asked == [[clip_l, t5_xxl]]


def test_beside_a_single_file_the_other_parts_are_downloaded(hub: Hub, folders: dict[str, Path], tmp_path: Path) -> None:
    files = tmp_path / "models" / "text_encoders"
    files.mkdir(parents=True)
    # What tells the real CLIP-L: vocabulary, width, layers. Nothing more of it is read here.
    told_by = {f"text_model.encoder.layers.{layer}.layer_norm1.bias": torch.zeros(768) for layer in range(12)}
    told_by["text_model.embeddings.token_embedding.weight"] = torch.zeros(49408, 768, dtype=torch.float8_e4m3fn)
    (files / "mine.safetensors").write_bytes(save(told_by))
    script = (
        "import sys, pathlib; import advanced_models.host as h; from advanced_models.host.standalone import StandaloneHost\n"
        "from advanced_models.loaders.component import select_component; from advanced_models.loaders.downloads import obtain\n"
        "h.use(StandaloneHost.below(pathlib.Path(sys.argv[1])))\n"
        "encoder = select_component('FLUX.1-schnell', 'text_encoder', source='text_encoders/mine.safetensors')\n"
        "print(obtain(encoder).label, obtain(encoder.tokenizer()).folder, obtain(encoder.sibling('vae')).folder, sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=client_environment(hub, tmp_path), capture_output=True, text=True, check=False
    )
    label, tokenizer, vae = done.stdout.splitlines()
    assert label == "models/text_encoders/mine.safetensors"
    for name, folder in (("tokenizer", tokenizer), ("vae", vae)):
        assert files_of(Path(folder)) == files_of(folders[SCHNELL] / name)
    assert {name.partition("/")[0] for name, _ in hub.sent} == {"vae"}


def test_a_licence_is_shown_once_for_each_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("advanced_models.host._standalone", StandaloneHost.below(tmp_path))
    shown = [downloads.show_licence_once(select_component(model, "vae")) for model in (SCHNELL, WAN, SCHNELL, WAN)]
    # Both are under Apache-2.0, and each says so.
    assert shown == [
        "FLUX.1 [schnell]: Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0",
        "Wan 2.1 T2V 1.3B: Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0",
        None,
        None,
    ]
