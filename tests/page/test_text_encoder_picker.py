"""TextEncoderPicker's output has the type of what is picked, and wires that no longer fit are taken off."""

from __future__ import annotations

from typing import Any

from page_browser import GraphPage

T5, UMT5 = "FLUX.1: T5-XXL", "Wan: UMT5-XXL"


def node(node_id: int, kind: str, values: list[Any]) -> dict[str, Any]:
    shape = {"id": node_id, "type": kind, "pos": [20 + 500 * (node_id - 1), 20], "size": [300, 300], "flags": {}, "order": node_id}
    return {**shape, "mode": 0, "properties": {}, "widgets_values": values}


def output_type(graph: GraphPage) -> str:
    found: str = graph.page.evaluate("() => app.graph.getNodeById(1).outputs[0].type")
    return found


def test_the_output_follows_the_role(graph: GraphPage) -> None:
    nodes = [node(1, "TextEncoderPicker", [UMT5, "auto", "auto", "auto", "auto"])]
    graph.open({"last_node_id": 1, "last_link_id": 0, "nodes": nodes, "links": [], "version": 0.4})
    assert output_type(graph) == "UMT5_XXL"
    graph.widget(1, "role", T5)
    assert output_type(graph) == "T5_XXL"


def test_a_wire_that_no_longer_fits_is_taken_off(graph: GraphPage) -> None:
    nodes = [node(1, "TextEncoderPicker", [T5, "auto", "auto", "auto", "auto"]), node(2, "FluxPromptEncode", ["a fox", -1, ""])]
    graph.open({"last_node_id": 2, "last_link_id": 0, "nodes": nodes, "links": [], "version": 0.4})
    slot = "app.graph.getNodeById(2).findInputSlot('t5_xxl')"
    assert graph.page.evaluate(f"() => app.graph.getNodeById(1).connect(0, app.graph.getNodeById(2), {slot}) != null")
    assert graph.page.evaluate(f"() => app.graph.getNodeById(2).inputs[{slot}].link != null")
    graph.widget(1, "role", UMT5)
    assert graph.page.evaluate(f"() => app.graph.getNodeById(2).inputs[{slot}].link == null")
