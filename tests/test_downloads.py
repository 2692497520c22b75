"""Downloads from a hub on loopback, through the real client, each in a process of its own: the client reads its settings once."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from hub_server import TOKEN, Hub, client_environment
from safetensors.torch import save

OLD_HUB = version("huggingface_hub").startswith("0.")

REPOSITORY = "black-forest-labs/FLUX.1-schnell"
SCRIPT = Path(__file__).with_name("download_once.py")
SHARDS = [f"diffusion_pytorch_model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
INDEX = "diffusion_pytorch_model.safetensors.index.json"


def _files(shard_bytes: int) -> dict[str, bytes]:
    source = random.Random(7)

    def shard(name: str) -> bytes:
        return save({name: torch.frombuffer(bytearray(source.randbytes(shard_bytes)), dtype=torch.uint8)})

    index = {"weight_map": {str(n): name for n, name in enumerate(SHARDS)}}
    return {
        "flux1-schnell.safetensors": b"all of it once more",
        "vae/config.json": b"{}",
        f"vae/{INDEX}": json.dumps(index).encode(),
        **{f"vae/{name}": shard(name) for name in SHARDS},
        "vae/diffusion_pytorch_model.fp16.safetensors": b"the same in fp16",
        "vae/diffusion_pytorch_model.bin": b"a pickle",
    }


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub(REPOSITORY, _files(1_500_000))
    yield server
    server.shutdown()
    server.server_close()


def _start(hub: Hub, folder: Path, **settings: str) -> subprocess.Popen[str]:
    environment = client_environment(hub, folder) | settings
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _said(hub: Hub, folder: Path, **settings: str) -> str:
    said = _start(hub, folder, **settings).communicate(timeout=120)[0]
    assert TOKEN not in said
    return said


def _check_whole(hub: Hub, said: str) -> None:
    folder = Path(said.strip().splitlines()[-1])
    wanted = {name.removeprefix("vae/"): data for name, data in hub.files.items() if name.endswith((".json", *SHARDS))}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == wanted


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (403, "refuses"),
        (404, "no longer on the hub"),
        (429, "too many requests"),
        pytest.param(
            503, "error of its own (503)", marks=pytest.mark.skipif(OLD_HUB, reason="before 1.0 the library waits and tries again")
        ),
        ("wrong", "its hash is wrong"),
    ],
)
def test_each_fault_has_its_sentence_and_the_cache_stays_usable(hub: Hub, tmp_path: Path, fault: int | str, sentence: str) -> None:
    hub.faults = [fault] * (20 if fault == 429 else 1)
    said = _said(hub, tmp_path)
    assert sentence in said
    assert "Traceback" not in said
    hub.faults = []
    _check_whole(hub, _said(hub, tmp_path))


def test_a_gate_names_the_licence_and_the_login(hub: Hub, tmp_path: Path) -> None:
    hub.gated = True
    assert f"accept the licence at https://huggingface.co/{REPOSITORY}, then `hf auth login`" in _said(hub, tmp_path)
    assert not hub.sent
    hub.gated = False
    _check_whole(hub, _said(hub, tmp_path))


def test_a_cut_connection_goes_on_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.faults = ["cut"]
    said = _said(hub, tmp_path)
    if OLD_HUB:  # which does not go on by itself
        said = _said(hub, tmp_path)
    _check_whole(hub, said)
    assert [start > 0 for _, start in hub.sent] == [False, True, False, False]
    assert not hub.authorised_cdn


def test_offline_keeps_the_advice_and_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    assert "MissingFilesError" in _said(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "MissingFilesError" in _said(hub, tmp_path, ADVANCED_MODELS_DOWNLOADS="off")
    assert "connection to the hub failed" in _said(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert not hub.sent


def test_two_at_once_share_one_download(hub: Hub, tmp_path: Path) -> None:
    hub.pause = 0.05
    both = [_start(hub, tmp_path) for _ in range(2)]
    for process in both:
        _check_whole(hub, process.communicate(timeout=120)[0])
    assert len(hub.sent) == len(SHARDS)


def test_thirty_kills_end_verified(tmp_path: Path) -> None:
    hub = Hub(REPOSITORY, _files(14_000_000))
    hub.pause = 0.04  # about 6 MB/s: 7 s in all
    sizes, chance = {len(data) for data in hub.files.values()}, random.Random(30)
    for _ in range(30):
        process = _start(hub, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        before = len(hub.sent)
        while len(hub.sent) == before and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None, process.stdout.read()
        time.sleep(chance.uniform(0.0, 0.25))
        process.kill()
        process.wait()
        for blob in (tmp_path / "hf" / "hub").glob("*/blobs/*"):
            if "." not in blob.name and blob.stat().st_size > 10_000:
                assert blob.stat().st_size in sizes
    hub.pause = 0.0
    _check_whole(hub, _said(hub, tmp_path))
    assert any(start for _, start in hub.sent)
    hub.shutdown()
    hub.server_close()
