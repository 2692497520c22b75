"""ComfyUI's page in Chromium, once per front end and renderer. Skipped in one line where browser or front ends are missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import advanced_models.host
import pytest
from advanced_models.host.standalone import StandaloneHost

if TYPE_CHECKING:
    from page_browser import GraphPage
    from page_server import PageServer
    from playwright.sync_api import Browser

pytest.importorskip("playwright", reason="the page is tested where playwright is installed (pip install -e '.[page]')")
pytest.importorskip("aiohttp")

import page_browser
from clips import serve
from player_page import PLAYER, WORKFLOW

MODES = [(version, nodes_2) for version in sorted(page_browser.front_ends()) for nodes_2 in (False, True)]
# Before 1.33 the renderer with HTML nodes was a trial, which did not show DOM widgets at all.
MODES = [(version, nodes_2) for version, nodes_2 in MODES if not nodes_2 or tuple(map(int, version.split("."))) >= (1, 33)]
REASON = "no browser, or no front end in COMFYUI_FRONT_ENDS"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = page_browser.launch(playwright)
        yield started
        started.close()


@pytest.fixture
def page_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    """The host that the routes answer for: empty folders of the test's own."""
    host = StandaloneHost.below(tmp_path)
    for folder in (host.input_folder, host.output_folder, host.temp_folder, host.user_folder):
        folder.mkdir(parents=True)
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    return host


@pytest.fixture(scope="session", params=MODES, ids=lambda mode: f"{mode[0]} {'nodes 2.0' if mode[1] else 'canvas'}")
def opened(request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from page_server import PageServer

    version, nodes_2 = request.param
    server = PageServer(page_browser.front_ends()[version], tmp_path_factory.mktemp("view"))
    page = page_browser.GraphPage(browser, server.url, nodes_2=nodes_2, version=version)
    yield page, server
    page.close()
    server.close()


@pytest.fixture
def graph(opened: Any, page_host: StandaloneHost) -> Iterator[GraphPage]:
    """The page with an empty graph. After the test nothing may have been complained about."""
    page, server = opened
    page.clear()
    yield page
    assert page.complaints() == []
    server.outputs.clear()


@pytest.fixture
def server(opened: Any) -> PageServer:
    """The server behind `graph`. `view_folder` is emptied, and says what `/view` serves."""
    found: PageServer = opened[1]
    shutil.rmtree(found.view_folder)
    found.view_folder.mkdir()
    found.prompts.clear()
    found.requests.clear()
    return found


@pytest.fixture
def show(graph: GraphPage, server: PageServer, page_host: StandaloneHost) -> Any:
    """Run VideoCombine with a result, and wait for its player to show frame 0."""
    serve(page_host, server.view_folder)
    graph.open(WORKFLOW, scale=0.8)

    def run(output: dict[str, Any]) -> Any:
        server.outputs["VideoCombine"] = output
        assert graph.run() == "execution_success"
        player = graph.page.locator(PLAYER)
        player.locator(".stage > *").wait_for(state="attached")
        player.locator("[aria-label='Go to frame']").wait_for()
        page_browser.settled(player)
        return player

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not MODES or page_browser.chromium() is None:
        for item in items:
            if "opened" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=REASON))
