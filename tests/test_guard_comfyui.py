"""VRAMGuard inside a real ComfyUI: it stops what would not fit, before anything is loaded, and shows why."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from advanced_models.demo.build import build
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.document import read_workflow
from advanced_models.workflows.native import NATIVE_NODES
from comfyui_server import PACK, Server, checkouts, running

pytestmark = pytest.mark.comfyui
EXAMPLE = PACK / "example_workflows" / "flux_vram_guard.json"

if not checkouts():
    pytest.skip("no ComfyUI: set COMFYUI_PATH to a checkout", allow_module_level=True)


@pytest.fixture(scope="module", params=checkouts(), ids=lambda path: path.name)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    build("FLUX.1-schnell", models / "diffusers" / "FLUX.1-schnell")
    with running(request.param, tmp_path_factory.mktemp("comfyui") / "base", models) as server:
        yield server


def run(server: Server, **settings: object) -> dict[str, object]:
    prompt = read_workflow(EXAMPLE).prompt(Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})).to_api()
    for node in prompt.values():
        if node["class_type"] == "VRAMGuard":
            node["inputs"] |= settings
        elif node["class_type"] == "FluxDenoise":
            node["inputs"] |= {"width": 256, "height": 256}
    entry: dict[str, object] = server.run(prompt, json.loads(Path(EXAMPLE).read_text()))
    return entry


def test_what_does_not_fit_is_stopped_and_says_why(server: Server) -> None:
    entry = run(server, mode="block", budget=1.0)
    assert "Does not fit" in json.dumps(entry)
    assert ".png" not in json.dumps(entry["outputs"])


def test_what_fits_runs_and_the_report_is_on_the_node(server: Server) -> None:
    entry = run(server, mode="block", budget=64.0)
    assert "Fits: " in json.dumps(entry["outputs"])
    assert ".png" in json.dumps(entry["outputs"])


def test_the_server_answers_for_a_prompt_before_it_runs(server: Server) -> None:
    prompt = read_workflow(EXAMPLE).prompt(Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})).to_api()
    answer = server.ask("/advanced_models/preflight", {"prompt": prompt, "vram": 48, "ram": 64})
    assert answer["verdict"] == "fits"
    assert answer["models"][0]["id"] == "FLUX.1-schnell"
    assert {card: other["verdict"] for card, other in answer["cards"].items()}["8"] == "fits_with_plan"
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.ask("/advanced_models/preflight", {"prompt": prompt, "vram": -1})
    assert "GB above 0" in json.loads(refused.value.read())["error"]
