"""A wire that does not fit is refused where it is let go, and the page says what was tried and what belongs there."""

from __future__ import annotations

from typing import Any

import pytest
from page_browser import GraphPage


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


def drag(graph: GraphPage, output: tuple[int, int], target: tuple[int, int]) -> None:
    """Drag from an output (node, slot) to an input, with the mouse."""
    places = [graph.slot(*output, side="output"), graph.slot(*target, side="input")]
    mouse = graph.page.mouse
    mouse.move(*places[0])
    mouse.down()
    mouse.move((places[0][0] + places[1][0]) / 2, places[0][1] + 40, steps=4)
    mouse.move(*places[1], steps=6)
    graph.page.wait_for_timeout(200)
    mouse.up()


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


# Last: its message stays for a while.
def test_what_does_not_fit_is_refused_with_the_reason(two: GraphPage) -> None:
    drag(two, (1, 0), (2, 0))
    two.page.get_by_text("This wire was refused").first.wait_for()
    reason = "WAN_VAE does not fit FLUX_VAE: this wire carries a VAE of Wan, and vae of FLUX Decode takes a VAE of FLUX."
    assert two.page.get_by_text(reason).last.is_visible()
    assert links(two) == []
