"""What is refused before anything runs, and what is not."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from advanced_models.errors import UserError
from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.validate import WorkflowError
from advanced_models.workflows.values import types_match
from workflow_graphs import changed, checked, node, sampling
from workflow_nodes import NODE_CLASS_MAPPINGS


def _problems(graph: dict[str, Any], definitions: Definitions | None = None) -> list[str]:
    with pytest.raises(WorkflowError) as caught:
        checked(graph, *([definitions] if definitions else []))
    return caught.value.problems


def test_order_is_by_dependency_and_leaves_out_what_no_output_needs() -> None:
    graph = {"9": node("WfSave", latent=["4", 0], prefix="first"), **sampling(n8=node("WfEncode", text="unused"))}
    valid = checked(graph)
    assert valid.outputs == ("9", "5")
    assert set(valid.order) == {"1", "2", "3", "4", "5", "9"}
    position = {node_id: index for index, node_id in enumerate(valid.order)}
    for node_id in valid.order:
        assert all(position[link.node] < position[node_id] for _, link in valid.prompt.nodes[node_id].links())


def test_constants_are_converted_as_comfyui_converts_them() -> None:
    inputs = checked(changed("4", seed="18446744073709551615", steps=4.9, cfg="2", tiled=1)).prompt.nodes["4"].inputs
    assert (inputs["seed"], inputs["steps"], inputs["cfg"], inputs["tiled"]) == (2**64 - 1, 4, 2.0, True)
    assert [type(inputs[name]) for name in ("seed", "steps", "cfg", "tiled")] == [int, int, float, bool]
    assert checked(changed("3", text=5)).prompt.nodes["3"].inputs["text"] == "5"


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        (changed("4", steps=0), 'Node 4 (WfSample), input "steps": 0 is smaller than the smallest value, 1.'),
        (changed("4", steps=101), 'Node 4 (WfSample), input "steps": 101 is larger than the largest value, 100.'),
        (changed("4", cfg=math.nan), 'Node 4 (WfSample), input "cfg": nan is not a finite number.'),
        (changed("4", cfg=math.inf), 'Node 4 (WfSample), input "cfg": inf is not a finite number.'),
        (changed("4", steps=math.nan), 'Node 4 (WfSample), input "steps": nan is not a finite number.'),
        (changed("4", steps="many"), "Node 4 (WfSample), input \"steps\": 'many' is not a whole number."),
        (changed("4", tiled="false"), "Node 4 (WfSample), input \"tiled\": 'false' is neither true nor false."),
        (changed("4", mode="quick"), "Node 4 (WfSample), input \"mode\": 'quick' is not one of its choices (fast, slow)."),
        (changed("4", steps=None), 'Node 4 (WfSample), input "steps": it is required and has no value.'),
        (changed("4", model=None), 'Node 4 (WfSample), input "model": nothing is connected, and it needs WF_MODEL.'),
        (changed("4", model=["7", 0]), 'Node 4 (WfSample), input "model": it is linked to node 7, which the workflow does not have.'),
        (
            changed("4", model=["2", 2]),
            'Node 4 (WfSample), input "model": it is linked to output 2 of node 2 (WfPatch), which has 2 (counted from 0).',
        ),
        (
            changed("4", model=["2", -1]),
            'Node 4 (WfSample), input "model": it is linked to output -1 of node 2 (WfPatch), which has 2 (counted from 0).',
        ),
        (
            changed("4", model=["2", 1]),
            'Node 4 (WfSample), input "model": it takes WF_MODEL, and output 1 of node 2 (WfPatch) is WF_CLIP.',
        ),
    ],
)
def test_one_sentence_per_problem(graph: dict[str, Any], problem: str) -> None:
    assert _problems(graph) == [problem]


def test_every_problem_is_named() -> None:
    problems = _problems(sampling(n4=node("WfSample", seed=-1)))
    assert len(problems) == 6
    assert sum("Node 4 (WfSample)" in problem for problem in problems) == 6


def test_a_null_text_is_no_text() -> None:
    graph = sampling()
    graph["3"]["inputs"]["text"] = None
    assert _problems(graph) == ['Node 3 (WfEncode), input "text": it has no value.']


def test_a_workflow_of_another_pack() -> None:
    problems = _problems({"1": node("KSampler", seed=1), "2": node("VAEDecode"), "3": node("WfModel", name="small")})
    assert len(problems) == 2
    assert 'Node 1: the node type "KSampler" is not known here' in problems[0]
    assert "VAEDecode" in problems[1]


def test_nothing_to_compute() -> None:
    assert "no output node" in _problems({"1": node("WfModel", name="small")})[0]


def test_circles_are_named() -> None:
    graph = changed("4", latent=["6", 0])
    graph["6"] = node("WfSample", model=["2", 0], seed=1, steps=1, cfg=1.0, positive=["3", 0], mode="fast", latent=["4", 0])
    problems = _problems(graph)
    assert len(problems) == 1
    assert "circle: 4 -> 6 -> 4" in problems[0] or "circle: 6 -> 4 -> 6" in problems[0]


def test_a_node_linked_to_itself() -> None:
    assert "circle: 4 -> 4" in _problems(changed("4", latent=["4", 0]))[0]


def test_a_chain_of_thousands_is_no_problem() -> None:
    graph = sampling()
    for index in range(3000):
        before = ["2", 0] if index == 0 else [str(99 + index), 0]
        graph[str(100 + index)] = node("WfPatch", model=before, clip=["2", 1], strength=1.0)
    graph["4"]["inputs"]["model"] = ["3099", 0]
    assert len(checked(graph).order) == 3005


def test_an_input_that_the_class_does_not_have_is_ignored_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        checked(changed("4", denoise=0.5))
    assert 'Node 4 (WfSample) has no input "denoise"' in caplog.text


class _Checked:
    """Checks its own inputs and keeps what it was asked."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    seen: list[dict[str, Any]] = []
    answer: Any = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        low = {"min": 1}
        return {"required": {"named": ("INT", low), "other": ("INT", low), "model": ("WF_MODEL",)}, "hidden": {"node": "UNIQUE_ID"}}

    @classmethod
    def VALIDATE_INPUTS(cls, named: int, model: Any, node: str, missing: str = "default") -> Any:
        cls.seen.append({"named": named, "model": model, "node": node, "missing": missing})
        if isinstance(cls.answer, Exception):
            raise cls.answer
        return cls.answer


class _TakesAll(_Checked):
    @classmethod
    def VALIDATE_INPUTS(cls, **inputs: Any) -> Any:  # type: ignore[override]
        cls.seen.append(inputs)
        return True


class _TakesTypes(_Checked):
    @classmethod
    def VALIDATE_INPUTS(cls, input_types: dict[str, str]) -> Any:  # type: ignore[override]
        cls.seen.append(input_types)
        return True


def _own(kind: type[_Checked], named: int, other: int, source: list[Any] | None = None) -> Any:
    kind.seen = []
    definitions = Definitions({**NODE_CLASS_MAPPINGS, "Own": kind})
    return checked({"1": node("WfModel", name="small"), "2": node("Own", named=named, other=other, model=source or ["1", 0])}, definitions)


def test_a_named_input_is_left_to_the_nodes_own_check() -> None:
    _own(_Checked, named=-5, other=1)
    assert _Checked.seen == [{"named": -5, "model": None, "node": "2", "missing": "default"}]
    with pytest.raises(WorkflowError, match='input "other": 0 is smaller'):
        _own(_Checked, named=-5, other=0)


def test_a_check_that_takes_everything_gets_everything() -> None:
    _own(_TakesAll, named=-5, other=-6)
    assert _TakesAll.seen == [{"named": -5, "other": -6, "model": None, "node": "2"}]


def test_a_check_that_asks_for_types_replaces_the_check_of_types() -> None:
    _own(_TakesTypes, named=1, other=1, source=["1", 1])
    assert _TakesTypes.seen == [{"model": "WF_CLIP"}]
    with pytest.raises(WorkflowError, match="it takes WF_MODEL"):
        _own(_Checked, named=1, other=1, source=["1", 1])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("sizes must divide by 16.", "Node 2 (Own): sizes must divide by 16."),
        (UserError("Use 16."), "Node 2 (Own): Use 16."),
        (False, "Node 2 (Own): its own check refuses these inputs."),
    ],
)
def test_the_answer_of_a_nodes_own_check(monkeypatch: pytest.MonkeyPatch, answer: Any, problem: str) -> None:
    monkeypatch.setattr(_Checked, "answer", answer)
    with pytest.raises(WorkflowError) as caught:
        _own(_Checked, named=1, other=1)
    assert caught.value.problems == [problem]


class _Any(str):
    """The well-known trick of packs: a type that is unequal to nothing."""

    def __ne__(self, other: object) -> bool:
        return False


@pytest.mark.parametrize(
    ("received", "declared", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("IMAGE", "MASK, IMAGE", True),
        ("INT,FLOAT", "FLOAT", True),
        ("IMAGE", "*", True),
        ("*", "IMAGE", True),
        (_Any("*"), "IMAGE", True),
        ("IMAGE", _Any("*"), True),
        (["a", "b"], "COMBO", True),
        ("COMBO", ["a", "b"], True),
        ("STRING", ["a", "b"], False),
    ],
)
def test_types(received: Any, declared: Any, fits: bool) -> None:
    assert types_match(received, declared) is fits
