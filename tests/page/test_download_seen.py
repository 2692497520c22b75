"""A model that is really downloaded, from a hub on loopback, as the page shows it: on the node, in the sidebar, and done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.demo.build import build
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.store import STORE
from advanced_models.nodes.flux import FluxDecode, FluxLoader
from hub_server import Hub
from page_browser import GraphPage
from page_server import PageServer

EXAMPLE = Path(__file__).parents[2] / "example_workflows" / "flux_text_to_image.json"
MODEL, REPOSITORY = "FLUX.1-schnell", "black-forest-labs/FLUX.1-schnell"
WEIGHTS = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that gives the small model a few hundred bytes at a time, as the only one that this process knows."""
    from huggingface_hub import constants

    build(MODEL, tmp_path / "made")
    server = Hub(REPOSITORY, {f"vae/{path.name}": path.read_bytes() for path in (tmp_path / "made" / "vae").iterdir()})
    server.piece = 1 << 9
    settings = {
        "ENDPOINT": server.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": True,
        "DOWNLOAD_CHUNK_SIZE": server.piece,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("ADVANCED_MODELS_DOWNLOADS", "on")
    yield server
    server.shutdown()
    server.server_close()
    for entry in STORE.entries():
        STORE.drop(entry)


def test_a_download_is_seen_while_it_runs_and_when_it_is_done(
    graph: GraphPage, server: PageServer, page_host: StandaloneHost, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(node_id: str, node: Any) -> dict[str, Any]:
        # As the host inside ComfyUI tells the page (host/comfy.py).
        monkeypatch.setattr(page_host, "show_text", lambda text: server.send("advanced_models.progress", {"node": node_id, "text": text}))
        vae = FluxLoader().select(MODEL)[3]
        (picture,) = FluxDecode().decode(vae, {"samples": torch.zeros(1, 16, 8, 8)})
        return {"text": [str(tuple(picture.shape))]}

    server.outputs["FluxDecode"] = decode
    graph.open(json.loads(EXAMPLE.read_text(encoding="utf-8")), scale=0.6)
    before = graph.saved()
    graph.toggle_tab("advanced-models")
    sidebar = graph.page.locator(".advanced-models.sidebar")
    sidebar.get_by_text("None. A loader downloads").wait_for()
    hub.pause = 1.0  # more than two minutes in all, for whoever looks slowly
    graph.page.evaluate("() => { app.queuePrompt(0, 1); }")

    bar = sidebar.get_by_role("progressbar", name=f"Download of {REPOSITORY}: {WEIGHTS}")
    bar.wait_for(timeout=60_000)
    total = len(hub.files[WEIGHTS])
    assert bar.evaluate("bar => bar.max") == total
    first = bar.evaluate("bar => bar.value")
    assert sidebar.get_by_text(f"of {total / 1e6:.1f} MB").is_visible()
    graph.page.locator("[aria-label='What this node is doing']").filter(has_text=WEIGHTS).wait_for()
    graph.page.wait_for_function("([bar, first]) => bar.value > first", arg=[bar.element_handle(), first])
    assert 0 < first < bar.evaluate("bar => bar.value") <= total

    hub.pause = 0.0
    bar.wait_for(state="detached")
    sidebar.get_by_role("button", name="Free the vae of FLUX.1 [schnell]").wait_for(timeout=60_000)
    assert sidebar.get_by_text("None. A loader downloads").is_visible()
    graph.page.locator("[aria-label='What this node is doing']").wait_for(state="detached")
    assert hub.sent == [(WEIGHTS, 0)]
    assert graph.saved() == before
    # The front end's own list of jobs gives up waiting on a machine that is busy.
    graph.lines[:] = [line for line in graph.lines if "[Jobs API]" not in line]
    graph.toggle_tab("advanced-models")
