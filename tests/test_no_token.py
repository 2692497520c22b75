"""The hub's token goes to the hub in a header, and nowhere else: no workflow, log, error, address or file of the user's ever holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from advanced_models.demo.build import build
from hub_server import TOKEN, Hub, client_environment

MODEL, REPOSITORY = "FLUX.1-schnell", "black-forest-labs/FLUX.1-schnell"
WORKFLOW = {
    "1": {"class_type": "FluxLoader", "inputs": {"model": MODEL, "precision": "bf16", "source": "auto"}},
    "2": {"class_type": "FluxPromptEncode", "inputs": {"clip_l": ["1", 1], "t5_xxl": ["1", 2], "prompt": "a red fox", "guidance": -1.0}},
    "3": {
        "class_type": "FluxDenoise",
        "inputs": {
            "transformer": ["1", 0],
            "conditioning": ["2", 0],
            "width": 64,
            "height": 64,
            "seed": 1,
            "steps": 1,
            "denoise": 1.0,
            "batch_size": 1,
        },
    },
    "4": {"class_type": "FluxDecode", "inputs": {"vae": ["1", 3], "latent": ["3", 0]}},
    "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "fox"}},
}
EVERYTHING_LOGGED = "import logging, sys\nlogging.basicConfig(level=logging.DEBUG, stream=sys.stderr)\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("model")
    build(MODEL, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(hub: Hub, folder: Path, *arguments: str) -> str:
    """Everything that a command prints and logs, with every logger at its most talkative."""
    (folder / "sitecustomize.py").write_text(EVERYTHING_LOGGED)
    environment = client_environment(hub, folder) | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "advanced_models", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "DEBUG" in done.stderr
    return done.stdout + done.stderr


def check(hub: Hub, folder: Path, said: str) -> None:
    assert hub.authorised
    assert not hub.authorised_cdn
    assert TOKEN not in said
    assert not [address for address in hub.addresses if TOKEN in address]
    assert not [path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_of_a_run_that_downloads(files: dict[str, bytes], tmp_path: Path) -> None:
    hub = Hub(REPOSITORY, files)
    (tmp_path / "workflow.json").write_text(json.dumps(WORKFLOW))
    # The transformer first: until its own config is here, the real model's decides which prompts fit it.
    said = run(hub, tmp_path, "download", MODEL, "--component", "transformer")
    said += run(hub, tmp_path, "run", "workflow.json", "--out", "out")
    (picture,) = (tmp_path / "out").glob("fox*.png")
    assert b"FluxDenoise" in picture.read_bytes(), "the picture holds its workflow"
    assert {name.partition("/")[0] for name, _ in hub.sent} == {"transformer", "text_encoder", "text_encoder_2", "vae"}
    check(hub, tmp_path, said)
    hub.shutdown()
    hub.server_close()


@pytest.mark.parametrize("fault", [401, 403, 404, 429, "cut", "wrong", "gate", "info"])
def test_of_every_failure(files: dict[str, bytes], tmp_path: Path, fault: int | str) -> None:
    hub = Hub(REPOSITORY, files)
    hub.gated = fault == "gate"
    hub.info_status = 401 if fault == "info" else 200
    hub.faults = [] if fault in ("gate", "info") else [fault] * 20
    check(hub, tmp_path, run(hub, tmp_path, "download", MODEL, "--component", "vae"))
    hub.shutdown()
    hub.server_close()
