"""The gauge and the sidebar tab: memory as the system counts it, loaded components that can be freed, the registry to browse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from advanced_models.demo.build import build
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import download_transfer
from advanced_models.loaders.component import select_component
from advanced_models.loaders.download_transfer import Active
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.store import STORE
from page_browser import GraphPage
from page_server import PageServer

TAB = ".advanced-models.sidebar"


@pytest.fixture
def sidebar(graph: GraphPage) -> Iterator[Any]:
    graph.toggle_tab("advanced-models")
    tab = graph.page.locator(TAB)
    tab.wait_for()
    yield tab
    graph.toggle_tab("advanced-models")


def test_the_gauge_shows_memory(graph: GraphPage) -> None:
    gauge = graph.page.locator(".advanced-models.gauge")
    gauge.filter(has_text="GiB").wait_for()
    total = psutil.virtual_memory().total / 2**30
    assert re.search(rf"/ {total:.1f} GiB", gauge.inner_text())
    assert gauge.is_visible()


def test_the_registry_is_browsed_with_the_keyboard(graph: GraphPage, sidebar: Any) -> None:
    flux = sidebar.locator("summary").filter(has_text=re.compile(r"^FLUX\.1 \(\d"))
    flux.wait_for()
    flux.focus()
    graph.page.keyboard.press("Enter")
    graph.page.keyboard.press("Tab")
    graph.page.keyboard.press("Enter")
    open_models = sidebar.locator("details[open] details[open]")
    open_models.wait_for()
    first = next(model for model in load_registry().models.values() if model.architecture == "flux")
    text = open_models.inner_text()
    assert first.name in text and first.licence.name in text and f"{first.download_bytes / 1e9:.1f} GB" in text


def test_a_loaded_component_is_shown_and_freed(graph: GraphPage, page_host: StandaloneHost, server: PageServer, sidebar: Any) -> None:
    sidebar.get_by_text("Nothing: a component is loaded").wait_for()
    page_host.models[0].mkdir()
    build("FLUX.1-schnell", page_host.models[0] / "diffusers" / "FLUX.1-schnell")
    with STORE.use(select_component("FLUX.1-schnell", "vae")):
        sidebar.get_by_text("in use").wait_for()
        assert sidebar.get_by_role("button", name="Free the vae of FLUX.1 [schnell]").is_disabled()
    button = sidebar.get_by_role("button", name="Free the vae of FLUX.1 [schnell]", disabled=False)
    button.wait_for()
    assert "bf16" in sidebar.inner_text()
    button.click()
    sidebar.get_by_text("Nothing: a component is loaded").wait_for()
    assert STORE.entries() == []


def test_downloads_are_shown_and_stopped(graph: GraphPage, server: PageServer, sidebar: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sidebar.get_by_text("None. A loader downloads").wait_for()
    name = "transformer/model-00001.safetensors"
    monkeypatch.setitem(download_transfer._active, 1, Active("black-forest-labs/FLUX.1-dev", name, 2_500_000_000, 9_900_000_000, 37e6))
    sidebar.get_by_text("2.5 GB of 9.9 GB · 37.0 MB/s · 3 min left").wait_for()
    bar = sidebar.get_by_role("progressbar", name=f"Download of black-forest-labs/FLUX.1-dev: {name}")
    assert bar.evaluate("bar => bar.position") == pytest.approx(2.5 / 9.9)
    stop = sidebar.get_by_role("button", name="Stop the download of black-forest-labs/FLUX.1-dev")
    stop.focus()
    monkeypatch.setitem(download_transfer._active, 1, Active("black-forest-labs/FLUX.1-dev", name, 5_000_000_000, 9_900_000_000, 99e6))
    sidebar.get_by_text("5.0 GB of 9.9 GB · 99.0 MB/s · 50 s left").wait_for()
    graph.page.keyboard.press("Enter")  # the focus has stayed where it was
    graph.page.wait_for_timeout(500)
    assert "/interrupt" in server.requests
    download_transfer._active.clear()
    sidebar.get_by_text("None. A loader downloads").wait_for()


def test_nothing_is_asked_while_the_page_is_out_of_sight(graph: GraphPage, server: PageServer) -> None:
    graph.page.locator(".advanced-models.gauge").evaluate("gauge => gauge.style.display = 'none'")
    graph.page.wait_for_timeout(500)
    server.requests.clear()
    graph.page.wait_for_timeout(4000)
    assert "/advanced_models/status" not in server.requests
    graph.page.locator(".advanced-models.gauge").evaluate("gauge => gauge.style.display = ''")
