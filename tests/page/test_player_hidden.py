"""The player while another tab of the browser is in front."""

from __future__ import annotations

from pathlib import Path

import pytest
from advanced_models.host.standalone import StandaloneHost
from clips import READ, save, serve, shown_by_node
from page_browser import GraphPage, tabs
from page_server import PageServer
from player_page import FRAMES, PLAYER, WORKFLOW
from playwright.sync_api import Browser

REST = """async (player) => {
    const [video, number] = [player.querySelector("video"), player.querySelector("[aria-label='Go to frame']")];
    let [before, since] = [null, performance.now()];
    const until = since + 30000;
    // The same frame for two seconds, which are sixteen of the clip: it rests.
    while (performance.now() - since < 2000 && performance.now() < until) {
        const now = `${video.paused} ${video.currentTime} ${number.value}`;
        if (now !== before) [before, since] = [now, performance.now()];
        await new Promise((next) => setTimeout(next, 100));
    }
    return [video.paused, Number(number.value), Math.floor(video.currentTime * 8)];
}"""


@pytest.mark.parametrize("key", ["l", "j"], ids=["forwards", "backwards"])
def test_it_rests_while_the_page_is_hidden(
    browser: Browser, graph: GraphPage, server: PageServer, page_host: StandaloneHost, tmp_path: Path, key: str
) -> None:
    serve(page_host, server.view_folder)
    server.outputs["VideoCombine"] = shown_by_node(save(page_host, range(FRAMES), rate=8))
    with tabs(browser, tmp_path / "profile") as context:
        tab = GraphPage(context, server.url, nodes_2=graph.nodes_2, version=graph.version)
        tab.clear()
        tab.open(WORKFLOW, scale=0.8)
        assert tab.run() == "execution_success"
        player = tab.page.locator(PLAYER)
        player.get_by_label("Go to frame").wait_for()
        player.press("End" if key == "j" else "Home")
        player.press(key)
        moved = "number => 3 < number.value && number.value < 44"
        tab.page.wait_for_function(moved, arg=player.get_by_label("Go to frame").element_handle())

        context.new_page().bring_to_front()
        assert tab.page.evaluate("() => document.visibilityState") == "hidden"
        paused, frame, seen = player.evaluate(REST)
        assert paused and frame == seen < FRAMES
        tab.page.bring_to_front()
        assert player.evaluate(REST) == [True, frame, frame]
        assert player.evaluate(READ) == frame
        assert tab.complaints() == []
