"""The player's controls as a user finds them: what a button does to the picture, the sound, the window and the disk; and the Tab key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advanced_models.host.standalone import StandaloneHost
from advanced_models.video.audio import Sound
from clips import READ, save, shown_by_node
from page_browser import WINDOW, GraphPage, settled
from page_server import PageServer
from player_page import FRAMES, goes_to
from test_reach import CONTRASTS, NAMELESS, READABLE

RATE = 24


@pytest.fixture
def player(show: Any, page_host: StandaloneHost) -> Any:
    """A clip of two seconds with sound."""
    sound = Sound(np.zeros((2, 96000), np.float32), 48000)
    return show(shown_by_node(save(page_host, range(FRAMES), rate=RATE, sound=sound)))


def video(player: Any, state: str) -> Any:
    """A property of the element that plays."""
    return player.locator("video").evaluate(f"video => video.{state}")


def pressed(player: Any, name: str) -> bool:
    return bool(player.get_by_role("button", name=name, exact=True).get_attribute("aria-pressed") == "true")


def test_full_screen_and_back(graph: GraphPage, player: Any) -> None:
    before = settled(player)
    for enter in (lambda: player.get_by_role("button", name="Full screen (f)").click(), lambda: player.press("f")):
        enter()
        graph.page.wait_for_function("element => document.fullscreenElement === element", arg=player.element_handle())
        graph.page.wait_for_timeout(300)
        box = player.locator("video").bounding_box()
        assert box["width"] > 0.95 * WINDOW["width"] and box["height"] > 0.8 * WINDOW["height"]
        player.press("ArrowRight")
        player.press("f")
        graph.page.wait_for_function("() => !document.fullscreenElement")
    assert settled(player) == before
    assert goes_to(player, [2]) == [2]


def test_speed_is_what_the_video_runs_at(graph: GraphPage, player: Any) -> None:
    speed = player.get_by_label("Speed", exact=True)
    speed.select_option("0.25")
    assert video(player, "playbackRate") == 0.25
    player.focus()
    player.press("l")
    player.press("l")
    assert (video(player, "playbackRate"), speed.input_value()) == (0.5, "0.5")
    player.press("k")
    # The next result is played at the chosen speed as well.
    assert graph.run() == "execution_success"
    graph.page.wait_for_timeout(500)
    assert (video(player, "playbackRate"), video(player, "paused")) == (0.5, True)


def test_download_gives_the_file_itself(graph: GraphPage, server: PageServer, player: Any, tmp_path: Path) -> None:
    with graph.page.expect_download() as started:
        player.get_by_role("link", name="Download").click()
    assert started.value.suggested_filename == "clip_00001_.mp4"
    started.value.save_as(tmp_path / "downloaded.mp4")
    assert (tmp_path / "downloaded.mp4").read_bytes() == (server.view_folder / "clip_00001_.mp4").read_bytes()


def test_a_range_is_marked_seen_and_removed(player: Any) -> None:
    assert goes_to(player, [12]) == [12]
    player.get_by_role("button", name="Loop from this frame (i)").click()
    assert goes_to(player, [35]) == [35]
    player.get_by_role("button", name="Loop up to this frame (o)").click()
    assert pressed(player, "Loop from this frame (i)") and pressed(player, "Loop up to this frame (o)")
    whole, marked = player.locator(".seek").bounding_box(), player.locator(".range").bounding_box()
    assert marked["x"] - whole["x"] == pytest.approx(whole["width"] * 12 / FRAMES, abs=1)
    assert marked["width"] == pytest.approx(whole["width"] * 24 / FRAMES, abs=1)
    # The same mark once more takes it away.
    player.get_by_role("button", name="Loop up to this frame (o)").click()
    assert goes_to(player, [12]) == [12]
    player.get_by_role("button", name="Loop from this frame (i)").click()
    assert not pressed(player, "Loop from this frame (i)") and not pressed(player, "Loop up to this frame (o)")
    assert player.locator(".range").bounding_box()["width"] == pytest.approx(whole["width"], abs=1)


def test_without_loop_it_ends_on_the_last_frame(graph: GraphPage, player: Any) -> None:
    assert pressed(player, "Loop")
    player.get_by_role("button", name="Loop", exact=True).click()
    assert not pressed(player, "Loop")
    assert goes_to(player, [FRAMES - 10]) == [FRAMES - 10]
    player.get_by_role("button", name="Play (space)").click()
    player.get_by_role("button", name="Pause (space)").wait_for()
    player.get_by_role("button", name="Play (space)").wait_for(timeout=10_000)
    assert video(player, "paused") and player.evaluate(READ) == FRAMES - 1
    player.get_by_role("button", name="Loop", exact=True).click()


def test_it_is_mute_until_it_is_asked_to_sound(player: Any) -> None:
    assert video(player, "muted")
    sound = player.get_by_role("button", name="Sound (m)")
    sound.click()
    assert (video(player, "muted"), pressed(player, "Sound (m)")) == (False, True)
    sound.click()
    assert (video(player, "muted"), pressed(player, "Sound (m)")) == (True, False)


def test_a_clip_without_sound_has_no_button_for_it(show: Any, page_host: StandaloneHost) -> None:
    player = show(shown_by_node(save(page_host, range(6))))
    assert not player.get_by_role("button", name="Sound (m)").is_visible()
    assert not player.get_by_role("button", name="Save").is_visible()  # it is in the output folder already


def test_it_pauses_when_its_node_is_folded(graph: GraphPage, player: Any) -> None:
    element = player.locator("video").element_handle()
    player.press(" ")
    graph.page.wait_for_function("video => !video.paused", arg=element)
    graph.page.evaluate("() => app.graph.getNodeById(1).collapse()")
    graph.page.wait_for_function("video => video.paused", arg=element)
    graph.page.evaluate("() => app.graph.getNodeById(1).collapse()")
    graph.page.wait_for_timeout(500)
    assert video(player, "paused") and goes_to(player, [5]) == [5]


def test_a_frame_is_gone_to_by_typing_and_by_dragging(graph: GraphPage, player: Any) -> None:
    before = graph.saved()
    number = player.get_by_label("Go to frame")
    number.click()
    graph.page.keyboard.press("Control+a")
    graph.page.keyboard.type("17")
    graph.page.keyboard.press("Enter")
    slider = player.get_by_label("Frame", exact=True)
    graph.page.wait_for_function("slider => slider.value === '17'", arg=slider.element_handle())
    assert player.evaluate(READ) == 17
    box = slider.bounding_box()
    mouse = graph.page.mouse
    mouse.move(box["x"] + 8 + 17 / (FRAMES - 1) * (box["width"] - 16), box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2, steps=12)
    mouse.up()
    graph.page.wait_for_timeout(1000)
    assert slider.input_value() == str(FRAMES - 1) == number.input_value()
    assert player.evaluate(READ) == FRAMES - 1
    assert graph.saved() == before


def test_the_dividing_line_follows_the_mouse(graph: GraphPage, show: Any, player: Any, page_host: StandaloneHost) -> None:
    player = show(shown_by_node(save(page_host, range(100, 130))))
    player.get_by_label("Compare with").select_option(label="clip_00001_.mp4")
    player.locator(".other video").wait_for()
    stage = settled(player.locator(".stage"))
    mouse = graph.page.mouse
    mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    mouse.down()
    mouse.move(stage["x"] + stage["width"] / 4, stage["y"] + stage["height"] / 2, steps=5)
    mouse.up()
    line = player.locator(".divider").bounding_box()
    assert line["x"] + line["width"] / 2 == pytest.approx(stage["x"] + stage["width"] / 4, abs=2)
    assert player.locator(".label").all_inner_texts() == ["clip_00002_.mp4", "clip_00001_.mp4"]


def test_the_tab_key_visits_every_control(graph: GraphPage, player: Any) -> None:
    wanted = player.locator("button:visible, input:visible, select:visible, a:visible").count()
    player.focus()
    visited = []
    for _ in range(wanted):
        graph.page.keyboard.press("Tab")
        visited += graph.page.evaluate(
            """() => {
                const at = document.activeElement;
                const inside = at.closest("[aria-label='Video player']");
                return inside ? [[at.getAttribute("aria-label"), getComputedStyle(at).outlineStyle]] : [];
            }"""
        )
    assert [name for name, outline in visited if outline == "none"] == []
    assert len({name for name, _ in visited}) == wanted > 10


def test_every_control_has_a_name_and_can_be_read(graph: GraphPage, player: Any) -> None:
    assert [line for line in player.aria_snapshot().splitlines() if NAMELESS.match(line)] == []
    assert goes_to(player, [5]) == [5]
    player.get_by_role("button", name="Loop from this frame (i)").click()
    found = graph.page.evaluate(CONTRASTS)
    assert {"[", "]"} <= {what for _, _, what in found}
    assert [(round(ratio, 2), what) for kind, ratio, what in found if kind == "text" and ratio < READABLE] == []
