"""A wire that does not fit is refused: the page says what was tried and what belongs there, while it is dragged and where it is let go."""

from __future__ import annotations

from typing import Any

import pytest
from page_browser import WINDOW, GraphPage

REASON = "WAN_VAE does not fit FLUX_VAE: this wire carries a VAE of Wan, and vae of FLUX Decode takes a VAE of FLUX."


def node(node_id: int, kind: str, x: int, values: list[Any]) -> dict[str, Any]:
    shape = {"id": node_id, "type": kind, "pos": [x, 20], "size": [300, 300], "flags": {}, "order": node_id, "mode": 0, "properties": {}}
    return {**shape, "widgets_values": values}


@pytest.fixture
def two(graph: GraphPage) -> GraphPage:
    """A Wan VAE and a node that decodes with FLUX's, side by side and not connected."""
    nodes = [node(1, "WanVAELoader", 20, ["wan2.1-vae", "auto", False, "auto"]), node(2, "FluxDecode", 600, [])]
    graph.open({"last_node_id": 2, "last_link_id": 0, "nodes": nodes, "links": [], "version": 0.4})
    graph.page.wait_for_timeout(500)
    return graph


def hold(graph: GraphPage, output: tuple[int, int], target: tuple[int, int]) -> None:
    """Drag from an output (node, slot) to an input with the mouse, and stay there."""
    places = [graph.slot(*output, side="output"), graph.slot(*target, side="input")]
    mouse = graph.page.mouse
    mouse.move(*places[0])
    mouse.down()
    mouse.move((places[0][0] + places[1][0]) / 2, places[0][1] + 40, steps=4)
    mouse.move(*places[1], steps=6)
    graph.page.wait_for_timeout(200)
    mouse.move(places[1][0] + 1, places[1][1])  # a slow page has only now seen what is below the pointer
    graph.page.wait_for_timeout(100)


def drag(graph: GraphPage, output: tuple[int, int], target: tuple[int, int]) -> None:
    """Drag from an output (node, slot) to an input, and let go."""
    hold(graph, output, target)
    graph.page.mouse.up()


def links(graph: GraphPage) -> list[list[str]]:
    found: list[list[str]] = graph.saved()["links"]
    return found


def test_what_fits_is_connected_without_a_word(graph: GraphPage) -> None:
    nodes = [node(1, "FluxLoader", 20, ["FLUX.1-schnell", "auto", "auto"]), node(2, "FluxDecode", 600, [])]
    graph.open({"last_node_id": 2, "last_link_id": 0, "nodes": nodes, "links": [], "version": 0.4})
    graph.page.wait_for_timeout(500)
    drag(graph, (1, 3), (2, 0))
    graph.page.wait_for_function("() => app.graph.getNodeById(2).inputs[0].link != null")
    graph.page.wait_for_timeout(500)
    assert graph.page.get_by_text("does not fit").count() == 0


def test_a_drop_on_the_canvas_says_nothing(two: GraphPage) -> None:
    x, y = two.slot(1, 0, side="output")
    two.page.mouse.move(x, y)
    two.page.mouse.down()
    two.page.mouse.move(x + 120, y + 300, steps=5)
    two.page.mouse.up()
    two.page.keyboard.press("Escape")
    two.page.wait_for_timeout(300)
    assert two.page.get_by_text("does not fit").count() == 0


def test_the_reason_is_beside_the_pointer_while_the_wire_is_dragged(two: GraphPage) -> None:
    hold(two, (1, 0), (2, 0))
    tip = two.page.get_by_role("tooltip").filter(has_text=REASON)
    assert tip.is_visible()
    box, pointer = tip.bounding_box(), two.slot(2, 0, side="input")
    assert box is not None
    assert 0 < box["x"] - pointer[0] < 40 and 0 < box["y"] - pointer[1] < 40
    two.page.mouse.move(pointer[0] - 60, pointer[1] + 500, steps=4)
    two.page.wait_for_timeout(100)
    assert not tip.is_visible()
    two.page.mouse.move(*pointer, steps=4)
    assert tip.is_visible()
    two.page.mouse.up()
    two.page.wait_for_timeout(200)
    assert not tip.is_visible()
    assert links(two) == []


def test_the_reason_stays_within_the_window(two: GraphPage) -> None:
    two.page.evaluate("() => { app.canvas.ds.offset = [innerWidth - 680, 400]; app.canvas.setDirty(true, true); }")
    two.page.wait_for_timeout(300)
    hold(two, (1, 0), (2, 0))
    box = two.page.get_by_role("tooltip").filter(has_text=REASON).bounding_box(timeout=5000)
    two.page.mouse.up()
    assert box is not None and box["width"] > 200 and box["x"] + box["width"] <= WINDOW["width"]


# Last: its message stays for a while.
def test_what_does_not_fit_is_refused_with_the_reason(two: GraphPage) -> None:
    drag(two, (1, 0), (2, 0))
    two.page.get_by_text("This wire was refused").first.wait_for()
    assert two.page.get_by_text(REASON).last.is_visible()
    assert links(two) == []
