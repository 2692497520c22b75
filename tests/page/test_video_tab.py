"""The Video tab: this session's clips, and a timeline whose edit list stands in the graph and makes on the server what the page shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from advanced_models.host.standalone import StandaloneHost
from advanced_models.nodes.timeline import VideoTimeline
from advanced_models.video.frames import FileFrames
from clips import BITS, BLOCK, READ, save, serve, shown_by_node
from page_browser import GraphPage
from page_server import PageServer
from player_page import WORKFLOW

FRAMES = 24
TAB = ".advanced-models.video-tab"
BLOCKS = f"{TAB} .block"


@pytest.fixture
def tab(graph: GraphPage, server: PageServer, page_host: StandaloneHost) -> Iterator[Any]:
    """The open tab, with two clips of this session: a.mp4 with the numbers 0 to 23, b.mp4 with 100 to 123."""
    serve(page_host, server.view_folder)
    graph.open(WORKFLOW, scale=0.5)
    for prefix, start in (("a", 0), ("b", 100)):
        saved = save(page_host, range(start, start + FRAMES), prefix=f"{graph.version}-{graph.nodes_2}/{prefix}")
        server.outputs["VideoCombine"] = shown_by_node(saved)
        assert graph.run() == "execution_success"
    graph.toggle_tab("advanced-models-video")
    found = graph.page.locator(TAB)
    found.wait_for()
    yield found
    graph.toggle_tab("advanced-models-video")


def add(tab: Any, *names: str) -> None:
    for name in names:
        before = tab.page.locator(BLOCKS).count()
        tab.get_by_role("button", name=f"Add {name}_00001_.mp4 to the timeline").first.click()
        tab.page.locator(BLOCKS).nth(before).wait_for()


def text_in_graph(graph: GraphPage) -> str:
    """The edit list as the page would save it."""
    (node,) = (entry for entry in graph.saved()["nodes"].values() if entry["type"] == "VideoTimeline")
    text: str = node["widgets_values"][0]
    return text


def parts(graph: GraphPage) -> list[tuple[str, int, int]]:
    return [(part["file"]["filename"][0], part["in"], part["out"]) for part in json.loads(text_in_graph(graph))["clips"]]


def set_field(tab: Any, label: str, value: object) -> None:
    field = tab.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Tab")


def rendered(graph: GraphPage, host: StandaloneHost) -> list[int]:
    """The numbers in the frames of the file that the server makes of the edit list in the graph."""
    answer = VideoTimeline().render(text_in_graph(graph), "mp4 (h264)", "very high", "ultrafast", "made/cut")
    file: Path = host.output_folder / answer["result"][1]
    frames = [frame for chunk in FileFrames(str(file)).chunks() for frame in chunk]
    return [sum((frame[BLOCK, int((bit + 0.5) * BLOCK), 1] > 0.5).item() << bit for bit in range(BITS)) for frame in frames]


def test_clips_of_the_session_are_shown_with_posters(graph: GraphPage, tab: Any) -> None:
    card = tab.locator(".card").first
    assert "b_00001_.mp4" in card.inner_text() and "192\u00d796, 24 frames, 1.0 s" in card.inner_text()
    poster = card.locator("img")
    graph.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=poster.element_handle())
    assert poster.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [108, 54]


def test_what_the_browser_does_not_play_has_a_poster(graph: GraphPage, tab: Any, server: PageServer, page_host: StandaloneHost) -> None:
    server.outputs["VideoCombine"] = shown_by_node(save(page_host, range(8), "mov (ProRes 422)", prefix="prores"))
    assert graph.run() == "execution_success"
    poster = tab.locator(".card", has_text="prores_00001_.mov").locator("img")
    graph.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=poster.element_handle(), timeout=60_000)
    assert poster.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [108, 54]
    graph.lines = [line for line in graph.lines if "ERR" not in line]


def test_what_is_edited_is_what_the_server_makes(graph: GraphPage, tab: Any, page_host: StandaloneHost) -> None:
    add(tab, "a", "b")
    assert parts(graph) == [("a", 0, 24), ("b", 0, 24)]
    assert rendered(graph, page_host) == [*range(24), *range(100, 124)]

    graph.page.locator(BLOCKS).nth(0).click()
    set_field(tab, "First frame", 2)
    set_field(tab, "Last frame", 11)
    assert rendered(graph, page_host) == [*range(2, 12), *range(100, 124)]

    player = tab.get_by_label("Video player")
    player.get_by_label("Go to frame").fill("8")
    player.get_by_label("Go to frame").press("Enter")
    graph.page.wait_for_function("slider => slider.value === '8'", arg=player.get_by_label("Frame", exact=True).element_handle())
    assert player.evaluate(READ) == 8
    tab.get_by_role("button", name="Split here").click()
    assert parts(graph) == [("a", 2, 8), ("a", 8, 12), ("b", 0, 24)]

    graph.page.locator(BLOCKS).nth(2).focus()
    graph.page.keyboard.press("Alt+ArrowLeft")
    assert parts(graph) == [("a", 2, 8), ("b", 0, 24), ("a", 8, 12)]
    set_field(tab, "Clip speed", 2)
    assert rendered(graph, page_host) == [*range(2, 8), *range(101, 124, 2), *range(8, 12)]

    graph.page.locator(BLOCKS).nth(2).focus()
    graph.page.keyboard.press("Delete")
    assert rendered(graph, page_host) == [*range(2, 8), *range(101, 124, 2)]


def test_a_cross_fade_is_kept_within_its_clips(graph: GraphPage, tab: Any, page_host: StandaloneHost) -> None:
    add(tab, "a", "b")
    set_field(tab, "Cross-fade", 6)
    assert json.loads(text_in_graph(graph))["clips"][1]["fade"] == 6
    assert "2 clips, 42 frames" in tab.inner_text()
    assert len(rendered(graph, page_host)) == 42
    set_field(tab, "Cross-fade", 100)
    assert json.loads(text_in_graph(graph))["clips"][1]["fade"] == FRAMES
    graph.page.locator(BLOCKS).nth(0).click()
    assert tab.get_by_label("Cross-fade", exact=True).is_disabled()
    set_field(tab, "Last frame", 9)
    assert json.loads(text_in_graph(graph))["clips"][1]["fade"] == 10
    rendered(graph, page_host)


def test_blocks_are_dragged_and_trimmed_by_the_pointer(graph: GraphPage, tab: Any) -> None:
    add(tab, "a", "b")
    mouse, blocks = graph.page.mouse, graph.page.locator(BLOCKS)
    boxes = [blocks.nth(index).bounding_box() for index in range(2)]
    mouse.move(boxes[0]["x"] + boxes[0]["width"] / 2, boxes[0]["y"] + 20)
    mouse.down()
    mouse.move(boxes[1]["x"] + boxes[1]["width"] * 0.8, boxes[0]["y"] + 20, steps=5)
    mouse.up()
    assert parts(graph) == [("b", 0, 24), ("a", 0, 24)]

    box = blocks.nth(0).bounding_box()
    mouse.move(box["x"] + 4, box["y"] + 20)
    mouse.down()
    mouse.move(box["x"] + 4 + box["width"] / 2, box["y"] + 20, steps=5)
    mouse.up()
    assert parts(graph) == [("b", 12, 24), ("a", 0, 24)]
    box = blocks.nth(1).bounding_box()
    mouse.move(box["x"] + box["width"] - 4, box["y"] + 20)
    mouse.down()
    mouse.move(box["x"] + box["width"] - 4 - box["width"] / 4, box["y"] + 20, steps=5)
    mouse.up()
    assert parts(graph) == [("b", 12, 24), ("a", 0, 18)]


def test_undo_and_redo(graph: GraphPage, tab: Any) -> None:
    add(tab, "a", "b")
    graph.page.wait_for_timeout(300)
    steps = [text_in_graph(graph)]
    set_field(tab, "Last frame", 5)
    steps.append(text_in_graph(graph))
    graph.page.wait_for_timeout(300)  # the page takes changes of one moment for one step
    tab.get_by_role("button", name="Remove", exact=True).click()
    graph.page.wait_for_timeout(300)
    steps.append(text_in_graph(graph))
    assert len(set(steps)) == 3
    graph.page.locator(BLOCKS).first.focus()
    graph.page.keyboard.press("Control+z")  # the page's own undo, which the tab follows
    graph.page.wait_for_timeout(1500)
    assert text_in_graph(graph) == steps[1]
    assert graph.page.locator(BLOCKS).count() == 2
    tab.get_by_role("button", name="Undo").click()
    graph.page.wait_for_timeout(100)
    assert text_in_graph(graph) == steps[0]
    for text in steps[1:]:
        tab.get_by_role("button", name="Redo").click()
        graph.page.wait_for_timeout(100)
        assert text_in_graph(graph) == text


def test_a_saved_workflow_brings_the_timeline_back(graph: GraphPage, server: PageServer, tab: Any, page_host: StandaloneHost) -> None:
    add(tab, "b", "a")
    set_field(tab, "First frame", 20)
    tab.get_by_label("Sound of the timeline").fill("input/music.wav")
    tab.get_by_label("Sound of the timeline").press("Tab")
    text = text_in_graph(graph)
    workflow = graph.page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    graph.clear()
    graph.page.locator(BLOCKS).first.wait_for(state="detached")
    graph.open(workflow)
    graph.page.locator(BLOCKS).nth(1).wait_for()
    assert text_in_graph(graph) == text
    assert json.loads(text)["audio"] == {"file": {"filename": "music.wav", "subfolder": "", "type": "input"}, "start": 0}
    assert tab.get_by_label("Sound of the timeline").input_value() == "input/music.wav"
    assert "20 to 23" in (graph.page.locator(BLOCKS).nth(1).get_attribute("aria-label") or "")
    assert graph.run() == "execution_success"
    (node,) = (node for node in server.prompts[-1].values() if node["class_type"] == "VideoTimeline")
    assert node["inputs"]["edits"] == text


def test_files_are_added_by_name(graph: GraphPage, tab: Any) -> None:
    field = tab.get_by_label("File to add")
    folder = f"{graph.version}-{graph.nodes_2}"
    field.fill(f"output/{folder}/a_00001_.mp4")
    field.press("Enter")
    graph.page.locator(BLOCKS).wait_for()
    assert parts(graph) == [("a", 0, 24)]
    field.fill("output/gone.mp4")
    field.press("Enter")
    tab.get_by_role("alert").filter(has_text="There is no file 'gone.mp4' in the output folder").wait_for()
    graph.lines = [line for line in graph.lines if "400" not in line]  # the refusal is an answer with that status
