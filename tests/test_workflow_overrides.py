"""`--set NODE.INPUT=VALUE`."""

from __future__ import annotations

from typing import Any

import pytest
from advanced_models.errors import UserError
from advanced_models.workflows.overrides import apply_override
from workflow_graphs import DEFINITIONS, node, read, sampling


def _after(text: str, graph: dict[str, Any] | None = None) -> Any:
    prompt = read(graph or sampling())
    apply_override(prompt, DEFINITIONS, text)
    return prompt


@pytest.mark.parametrize(
    ("text", "node_id", "name", "value"),
    [
        ("4.seed=18446744073709551615", "4", "seed", 2**64 - 1),
        ("WfSample.seed=8", "4", "seed", 8),
        ("My sampler.steps= 9 ", "4", "steps", 9),
        ("4.cfg=2", "4", "cfg", 2.0),
        ("4.tiled=yes", "4", "tiled", True),
        ("4.tiled=false", "4", "tiled", False),
        ("4.mode=fast", "4", "mode", "fast"),
        ("3.text=a = b.c", "3", "text", "a = b.c"),
        ("3.text=", "3", "text", ""),
    ],
)
def test_values_take_the_type_of_their_input(text: str, node_id: str, name: str, value: Any) -> None:
    found = _after(text).nodes[node_id].inputs[name]
    assert (found, type(found)) == (value, type(value))


def test_ids_of_subgraphs_and_titles_with_dots() -> None:
    graph = {"12:5": node("WfModel", "Model v1.5", name="small"), "9": node("WfSave")}
    assert _after("12:5.name=large", graph).nodes["12:5"].inputs["name"] == "large"
    assert _after("Model v1.5.name=large", graph).nodes["12:5"].inputs["name"] == "large"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed=7", ["NODE.INPUT=VALUE"]),
        ("4.seed", ["NODE.INPUT=VALUE"]),
        ("44.seed=7", ['no node "44"']),
        ("WfSampel.seed=7", ['no node "WfSampel"', "Did you mean WfSample"]),
        ("4.sead=7", ["Node 4 (WfSample)", '"sead"', "Did you mean seed"]),
        ("4.seed=7.5", ["4.seed", "whole number"]),
        ("4.cfg=nan", ["4.cfg", "finite"]),
        ("4.cfg=much", ["4.cfg", "is not a number"]),
        ("4.tiled=maybe", ["4.tiled", "neither true nor false"]),
        ("4.model=x", ["linked to node 2"]),
        ("4.latent=x", ["connection of type WF_LATENT"]),
    ],
)
def test_refusals(text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        _after(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_class_that_two_nodes_have_is_ambiguous() -> None:
    graph = sampling(n6=node("WfModel", name="small"))
    with pytest.raises(UserError, match=r"2 nodes are of class \"WfModel\": 1, 6"):
        _after("WfModel.name=large", graph)


def test_an_unknown_class_cannot_be_set() -> None:
    with pytest.raises(UserError, match="unknown type"):
        _after("6.x=1", sampling(n6=node("Foreign")))
