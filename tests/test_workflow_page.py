"""The page form: against what ComfyUI's own page makes of the same files, and damaged files.

`workflow_pairs/` holds, per case, a graph as `loaded` into the page of front end 1.58.1 (ComfyUI 0.33.0 with the classes of
workflow_nodes.py), the same graph as that page `saved` and `exported` it, and the `prompt` that the page sent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from advanced_models.errors import UserError
from advanced_models.workflows.document import Document
from advanced_models.workflows.prompt import Link
from workflow_graphs import DEFINITIONS, page, read

PAIRS = sorted((Path(__file__).parent / "workflow_pairs").glob("*.json"))
FORMS = ("loaded", "saved", "exported")


def _inputs(api: dict[str, Any]) -> dict[str, Any]:
    return {node_id: (entry["class_type"], entry["inputs"]) for node_id, entry in api.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda path: path.stem)
def test_prompt_is_the_one_the_page_sends(pair: Path, form: str) -> None:
    case = json.loads(pair.read_text(encoding="utf-8"))
    assert _inputs(read(case[form], DEFINITIONS).to_api()) == _inputs(case["prompt"])


@pytest.mark.parametrize("pair", PAIRS, ids=lambda path: path.stem)
def test_saved_pages_need_no_knowledge_of_the_classes(pair: Path) -> None:
    case = json.loads(pair.read_text(encoding="utf-8"))
    for form in FORMS[1:]:
        prompt = read(case[form], {})
        assert _inputs(prompt.to_api()) == _inputs(case["prompt"]), form
        assert not any(node.unplaced_values for node in prompt.nodes.values()), form


def test_links_written_as_objects() -> None:
    graph = json.loads(PAIRS[0].read_text(encoding="utf-8"))["saved"]
    expected = read(graph).to_api()
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    graph["links"] = [dict(zip(names, link, strict=True)) for link in graph["links"]]
    assert read(graph).to_api() == expected


def test_values_without_names_of_an_unknown_class_are_reported_not_guessed() -> None:
    graph = page({"id": 1, "type": "Foreign", "inputs": [], "widgets_values": [7, "randomize", "text"]})
    prompt = read(graph)
    assert prompt.nodes["1"].inputs == {}
    assert prompt.nodes["1"].unplaced_values


def test_values_by_name() -> None:
    graph = page(
        {"id": 1, "type": "Foreign", "widgets_values": {"frame_rate": 8, "format": "gif"}},
        {"id": 2, "type": "WfModel", "widgets_values": {"name": "large", "gone": 1}},
    )
    prompt = read(graph)
    assert prompt.nodes["1"].inputs == {"frame_rate": 8, "format": "gif"}
    assert prompt.nodes["2"].inputs == {"name": "large"}


def test_widgets_that_the_file_is_older_than_take_their_default() -> None:
    graph = page({"id": 1, "type": "WfSample", "widgets_values": [7, "fixed", 4]})
    assert read(graph).nodes["1"].inputs == {"seed": 7, "steps": 4, "cfg": 8.0, "mode": "fast", "tiled": False}


def test_odd_values_beside_a_seed_are_left_to_the_validation() -> None:
    graph = page({"id": 1, "type": "WfSample", "widgets_values": [7, [4], 1.5], "widgets_values_named": True})
    assert read(graph).nodes["1"].inputs == {"seed": 7, "steps": [4], "cfg": 1.5, "mode": "fast", "tiled": False}


def test_list_values_are_no_links() -> None:
    graph = page({"id": 1, "type": "Foreign", "widgets_values": {"points": [1, 2]}})
    assert read(graph).to_api()["1"]["inputs"] == {"points": {"__value__": [1, 2]}}


def test_a_changed_value_is_written_back_into_the_graph() -> None:
    case = json.loads((Path(__file__).parent / "workflow_pairs" / "plain.json").read_text(encoding="utf-8"))["saved"]
    document = Document("plain.json", case, is_page=True)
    prompt = document.prompt(DEFINITIONS)
    prompt.set(prompt.nodes["4"], "seed", 99)
    assert document.workflow is not None
    assert read(document.workflow).nodes["4"].inputs["seed"] == 99
    assert read(document.workflow, {}).nodes["4"].inputs["seed"] == 99


def test_a_value_that_two_nodes_share_is_changed_for_one_without_touching_the_graph() -> None:
    path = Path(__file__).parent / "workflow_pairs" / "reroutes_and_primitives.json"
    case = json.loads(path.read_text(encoding="utf-8"))["saved"]
    document = Document("shared.json", case, is_page=True)
    prompt = document.prompt(DEFINITIONS)
    assert (prompt.nodes["4"].inputs["seed"], prompt.nodes["6"].inputs["seed"]) == (4711, 4711)
    prompt.set(prompt.nodes["4"], "seed", 1)
    assert (prompt.nodes["4"].inputs["seed"], prompt.nodes["6"].inputs["seed"]) == (1, 4711)
    assert read(case).nodes["6"].inputs["seed"] == 4711


def _socket(name: str, kind: str, link: int | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": link}


def test_a_long_chain_of_reroutes_is_followed() -> None:
    count = 3000
    reroutes = [{"id": 10 + i, "type": "Reroute", "inputs": [_socket("", "*", i)], "outputs": [{"type": "*"}]} for i in range(count)]
    source = {"id": 1, "type": "WfModel", "outputs": [{"type": "WF_MODEL"}, {"type": "WF_CLIP"}], "widgets_values": ["small"]}
    target = {"id": 2, "type": "WfEncode", "inputs": [_socket("clip", "WF_CLIP", count)], "widgets_values": ["t"]}
    links = [(0, 1, 1, 10, 0, "*"), *((i, 9 + i, 0, 10 + i, 0, "*") for i in range(1, count + 1))]
    assert read(page(source, target, *reroutes, links=tuple(links))).nodes["2"].inputs["clip"] == Link("1", 1)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (page({"id": 5, "type": "WfModel"}, {"id": 5, "type": "WfSave"}), ["two nodes have the id 5", "WfModel", "WfSave"]),
        (page({"id": 5, "type": "WfEncode", "inputs": [_socket("clip", "WF_CLIP", 3)]}), ["Node 5", '"clip"', "link 3"]),
        (
            page({"id": 5, "type": "WfEncode", "inputs": [_socket("clip", "WF_CLIP", 3)]}, links=((3, 8, 0, 5, 0, "WF_CLIP"),)),
            ["Node 5", "node 8", "does not have"],
        ),
        (page({"id": 5, "type": "workflow>mine"}), ["Node 5", "group node", "subgraph"]),
        (page({"type": "WfModel"}), ["not as ComfyUI's page saves it"]),
        (page({"id": 5, "type": "WfModel"}, links=((1, 2),)), ["not as ComfyUI's page saves it"]),
        (
            page(
                {"id": 1, "type": "Reroute", "inputs": [_socket("", "*", 1)], "outputs": [{"type": "*"}]},
                {"id": 2, "type": "Reroute", "inputs": [_socket("", "*", 2)], "outputs": [{"type": "*"}]},
                {"id": 3, "type": "WfEncode", "inputs": [_socket("clip", "WF_CLIP", 3)]},
                links=((1, 2, 0, 1, 0, "*"), (2, 1, 0, 2, 0, "*"), (3, 2, 0, 3, 0, "*")),
            ),
            ["node 3", "circle"],
        ),
        (
            page(
                {"id": 9, "type": "sub"},
                definitions={"subgraphs": [{"id": "sub", "name": "Me", "nodes": [{"id": 1, "type": "sub"}], "links": []}]},
            ),
            ['"Me"', "contains itself", "9:1"],
        ),
    ],
    ids=["same id", "no such link", "no such node", "group node", "no id", "short link", "circle", "recursion"],
)
def test_damaged_pages(graph: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read(graph)
    assert all(word in str(caught.value) for word in ["test.json", *words]), str(caught.value)


def _bypassed(node_id: int, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {"id": node_id, "type": "Foreign", "mode": 4, "inputs": list(inputs), "outputs": [{"type": "WF_MODEL"}]}


def _consumer(kind: str, link: int) -> dict[str, Any]:
    return {"id": 9, "type": "Consumer", "inputs": [_socket("x", kind, link)]}


def test_a_bypassed_node_passes_on_the_input_of_the_very_type_before_one_that_takes_anything() -> None:
    sockets = (_socket("clip", "WF_CLIP", 1), _socket("any", "*", 2), _socket("model", "WF_MODEL", 3))
    sources = [{"id": node_id, "type": "Source", "outputs": [{"type": "*"}]} for node_id in (1, 2, 3)]
    links = (*((node_id, node_id, 0, 5, node_id - 1, "*") for node_id in (1, 2, 3)), (4, 5, 0, 9, 0, "WF_MODEL"))
    prompt = read(page(*sources, _bypassed(5, *sockets), _consumer("WF_MODEL", 4), links=links))
    assert prompt.nodes["9"].inputs == {"x": Link("3", 0)}
    prompt = read(page(*sources, _bypassed(5, *sockets[:2]), _consumer("WF_MODEL", 4), links=links))
    assert prompt.nodes["9"].inputs == {"x": Link("2", 0)}
    prompt = read(page(*sources, _bypassed(5, sockets[0]), _consumer("WF_MODEL", 4), links=links))
    assert prompt.nodes["9"].inputs == {}


def test_behind_a_bypassed_node_its_own_type_is_wanted() -> None:
    source = {"id": 1, "type": "Source", "outputs": [{"type": "WF_CLIP"}, {"type": "WF_MODEL"}]}
    first = _bypassed(2, _socket("clip", "WF_CLIP", 1), _socket("model", "WF_MODEL", 2))
    second = _bypassed(3, _socket("model", "WF_MODEL", 3))
    links = ((1, 1, 0, 2, 0, "WF_CLIP"), (2, 1, 1, 2, 1, "WF_MODEL"), (3, 2, 0, 3, 0, "WF_MODEL"), (4, 3, 0, 9, 0, "*"))
    assert read(page(source, first, second, _consumer("*", 4), links=links)).nodes["9"].inputs == {"x": Link("1", 1)}


def test_a_subgraph_shows_a_widget_of_a_subgraph_inside_it() -> None:
    case = json.loads((Path(__file__).parent / "workflow_pairs" / "nested_subgraphs.json").read_text(encoding="utf-8"))
    graph = case["loaded"]
    outer = next(node for node in graph["nodes"] if node["id"] == 12)
    outer["properties"]["proxyWidgets"] = [["55", "text"], ["-1", "seed"]]
    outer["widgets_values"] = ["from outside", 2024]
    expected = _inputs(case["prompt"])
    expected["12:55:41"][1]["text"] = "from outside"
    assert _inputs(read(graph).to_api()) == expected
