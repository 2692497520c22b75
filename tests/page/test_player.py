"""The player on VideoCombine: the frame that is asked for is the frame that is seen; keys, range, save, and what browsers do not play."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from advanced_models.host.standalone import StandaloneHost
from advanced_models.video.audio import Sound
from advanced_models.video.edit_save import save_edit
from advanced_models.video.edits import Clip, Edit
from advanced_models.video.info import read_info
from advanced_models.video.settings import settings_for
from clips import READ, save, shown_by_node
from page_browser import GraphPage
from page_server import PageServer
from player_page import FRAMES, PLAYER, WORKFLOW, goes_to


@pytest.mark.parametrize(
    ("format_name", "rate", "interval"),
    [("mp4 (h264)", 24, 0), ("mp4 (h264)", 29.97, 12), ("webm (vp9)", 16, 0)],
    ids=["h264", "h264 29.97", "vp9"],
)
def test_no_frame_is_wrong(show: Any, page_host: StandaloneHost, format_name: str, rate: float, interval: int) -> None:
    player = show(shown_by_node(save(page_host, range(FRAMES), format_name, rate, keyframe_interval=interval)))
    forwards = list(range(1, FRAMES))
    backwards = list(range(FRAMES - 2, -1, -1))
    shuffled = random.Random(5).sample(range(FRAMES), FRAMES)
    for order in (forwards, backwards, shuffled):
        assert goes_to(player, order) == order


def test_no_frame_of_a_timeline_is_wrong(show: Any, page_host: StandaloneHost) -> None:
    """Copied and encoded sections by turns: every join is passed and jumped to."""
    file = save(page_host, range(FRAMES), keyframe_interval=12, speed="medium", pans=True).path
    info = read_info(file)
    clips = tuple(Clip(file, info, first, end, Fraction(1), 0) for first, end in ((5, 48), (0, 31), (11, 13), (12, 47)))
    edit = Edit(clips, None, info.frame_rate, info.width, info.height)
    saved = save_edit(edit, settings_for("mp4 (h264)", 24), page_host, folder=page_host.output_folder, prefix="cut", tags={})
    assert "were copied as they are" in saved.notes[0]
    numbers = [number for clip in clips for number in range(clip.first, clip.end)]
    player = show(shown_by_node(saved))
    forwards = list(range(1, len(numbers)))
    for order in (forwards, forwards[::-1], random.Random(5).sample(range(len(numbers)), len(numbers))):
        assert goes_to(player, order) == [numbers[frame] for frame in order]


def test_keys_step_frame_by_frame(graph: GraphPage, show: Any, page_host: StandaloneHost) -> None:
    player = show(shown_by_node(save(page_host, range(FRAMES), rate=8)))
    number = player.locator("[aria-label='Go to frame']")

    def press(key: str, frame: int) -> None:
        player.press(key)
        graph.page.wait_for_function("([field, frame]) => field.value === frame", arg=[number.element_handle(), str(frame)])
        assert player.evaluate(READ) == frame

    for key, frame in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Shift+ArrowRight", 9), ("End", 47), ("Home", 0)):
        press(key, frame)
    before = graph.saved()
    player.press("Delete")  # the graph must not hear it
    assert graph.saved() == before


def test_playing_and_pausing_stays_on_the_frame_that_is_seen(graph: GraphPage, show: Any, page_host: StandaloneHost) -> None:
    player = show(shown_by_node(save(page_host, range(FRAMES), rate=8)))
    for key in ("l", "j"):
        player.press(key)
        graph.page.wait_for_timeout(900)
        player.press("k")
        graph.page.wait_for_timeout(400)
        frame = int(player.locator("[aria-label='Go to frame']").input_value())
        assert 0 < frame < FRAMES or key == "j"
        assert player.evaluate(READ) == frame
        assert player.evaluate("player => player.querySelector('video').paused")


def test_a_range_is_looped(graph: GraphPage, show: Any, page_host: StandaloneHost) -> None:
    player = show(shown_by_node(save(page_host, range(FRAMES), rate=8)))
    assert goes_to(player, [20]) == [20]
    player.press("o")
    assert goes_to(player, [10]) == [10]
    player.press("i")
    seen = player.evaluate(
        f"""async (player) => {{
            const read = {READ};
            const video = player.querySelector("video");
            const seen = [];
            const until = performance.now() + 60000;
            player.querySelector("[aria-label='Play (space)']").click();
            // A busy machine may show frames beyond the end before the range begins anew, or have no time to look at each; not every time.
            for (let turns = 0; turns < 2 && performance.now() < until; ) {{
                await new Promise((next) => [video.requestVideoFrameCallback(next), setTimeout(next, 1000)]);
                const frame = read(player);
                if (frame <= 11 && [20, 21].includes(seen.at(-1))) turns++;
                seen.push(frame);
            }}
            player.querySelector("[aria-label='Pause (space)']").click();
            return seen;
        }}"""
    )
    assert min(seen) >= 10
    assert sum(before in (20, 21) and after <= 11 for before, after in pairwise(seen)) == 2


def test_it_is_muted_and_stops_out_of_sight(graph: GraphPage, show: Any, page_host: StandaloneHost) -> None:
    import numpy as np

    sound = Sound(np.zeros((2, 96000), np.float32), 48000)
    player = show(shown_by_node(save(page_host, range(FRAMES), rate=24, sound=sound)))
    video = player.locator("video")
    assert video.evaluate("video => video.muted && video.paused")
    player.press("m")
    assert not video.evaluate("video => video.muted")
    player.press("m")
    player.press(" ")
    graph.page.wait_for_function("video => !video.paused", arg=video.element_handle())
    graph.page.evaluate("() => { app.canvas.ds.offset[0] = -5000; app.canvas.setDirty(true, true); }")
    graph.page.wait_for_function("video => video.paused", arg=video.element_handle())


def test_a_preview_is_saved_under_a_fresh_name(graph: GraphPage, server: PageServer, show: Any, page_host: StandaloneHost) -> None:
    saved = save(page_host, range(6), prefix="kept/clip")
    player = show(shown_by_node(saved, "temp"))
    before = graph.saved()
    player.get_by_role("button", name="Save").click()
    player.get_by_text("Saved as kept/clip_00002_.mp4 in the output folder.").wait_for()
    copy = server.view_folder / "kept" / "clip_00002_.mp4"
    assert copy.read_bytes() == saved.path.read_bytes()
    assert graph.saved() == before


@pytest.mark.parametrize("format_name", ["mov (ProRes 422)", "mkv (ffv1)", "mp4 (h265)"])
def test_what_the_browser_does_not_play_gets_a_copy(graph: GraphPage, show: Any, page_host: StandaloneHost, format_name: str) -> None:
    player = show(shown_by_node(save(page_host, range(16), format_name)))
    player.get_by_text("Shown as a smaller copy").wait_for()
    graph.lines = [line for line in graph.lines if "ERR" not in line]
    order = [15, 3, 8, 7, 9, 0]
    assert goes_to(player, order) == order


@pytest.mark.parametrize("format_name", ["gif", "webp", "webp (lossless)", "apng"])
def test_animated_pictures_are_shown_as_such_and_stepped(
    graph: GraphPage, show: Any, server: PageServer, page_host: StandaloneHost, format_name: str
) -> None:
    server.outputs["VideoCombine"] = shown_by_node(save(page_host, range(40, 58), format_name, 10))
    assert graph.run() == "execution_success"
    picture = graph.page.locator(f"{PLAYER} .stage img")
    picture.wait_for()
    graph.page.wait_for_function("image => image.complete && image.naturalWidth", arg=picture.element_handle())
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [192, 96]
    player = graph.page.locator(PLAYER)
    step = player.get_by_role("button", name="Step through the frames of the picture")
    if format_name == "webp":
        player.press("ArrowRight")
    else:
        step.click()
    player.get_by_text("to step through its frames").wait_for(timeout=60_000)
    assert not step.is_visible()
    player.get_by_text("/ 17").wait_for()
    for order in (list(range(1, 18)), list(range(16, -1, -1)), random.Random(3).sample(range(18), 18)):
        assert goes_to(player, order) == [40 + frame for frame in order]


def test_there_is_one_player_and_nothing_of_it_is_saved(graph: GraphPage, show: Any, page_host: StandaloneHost) -> None:
    graph.open(WORKFLOW)
    before = graph.saved()
    player = show(shown_by_node(save(page_host, range(6))))
    graph.page.wait_for_timeout(500)
    assert graph.page.locator("video").count() == 1
    assert graph.saved() == before
    assert player.is_visible()


def test_two_clips_are_compared_frame_by_frame(graph: GraphPage, server: PageServer, show: Any, page_host: StandaloneHost) -> None:
    show(shown_by_node(save(page_host, range(100, 130))))
    player = show(shown_by_node(save(page_host, range(FRAMES))))
    player.get_by_label("Compare with").select_option(label="clip_00001_.mp4")
    other = player.locator(".other")
    other.locator("video").wait_for()
    for frame in (7, 20, 3):
        assert goes_to(player, [frame]) == [frame]
        graph.page.wait_for_timeout(500)
        assert other.evaluate(READ) == 100 + frame
    line = player.get_by_label("Place of the dividing line")
    line.fill("25")
    assert other.evaluate("place => place.style.clipPath") == "inset(0px 0px 0px 25%)"
    player.get_by_label("Compare with").select_option(value="")
    other.wait_for(state="detached")
    assert read_info(server.view_folder / "clip_00001_.mp4").frame_count == 30
