"""Running prompts: results, what is computed again, lists, hidden inputs, failures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import advanced_models.host
import pytest
from advanced_models.errors import Interrupted, UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.execute import Executor, NodeError, NodeRun, Run
from workflow_graphs import DEFINITIONS, changed, checked, node, sampling
from workflow_nodes import CALLS, NODE_CLASS_MAPPINGS


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandaloneHost]:
    host = StandaloneHost.below(tmp_path)
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    CALLS.clear()
    return host


def _text(run: Run, node_id: str = "5") -> str:
    return next(entry for entry in run.nodes if entry.id == node_id).ui["text"][0]


def _computed(run: Run) -> set[str]:
    return {entry.id for entry in run.nodes if not entry.cached}


def test_values_travel_along_the_links() -> None:
    run = Executor(DEFINITIONS).run(checked(sampling()))
    assert _text(run) == "out: model small x0.5 7 4 1.5 <a cat by clip small x0.5> slow None False"
    assert [entry.id for entry in run.nodes] == ["1", "2", "3", "4", "5"]
    assert run.seconds >= sum(entry.seconds for entry in run.nodes)


def test_hidden_inputs() -> None:
    valid = checked(sampling())
    graph = {"nodes": [], "links": []}
    ui = next(entry for entry in Executor(DEFINITIONS).run(valid, workflow=graph).nodes if entry.id == "5").ui
    assert ui["node"] == ["5"]
    assert ui["seen"] == [{"prompt": valid.prompt.to_api(), "extra": {"workflow": graph}}]
    ui = next(entry for entry in Executor(DEFINITIONS).run(valid).nodes if entry.id == "5").ui
    assert ui["seen"][0]["extra"] is None


def test_only_what_is_downstream_of_a_change_is_computed_again() -> None:
    executor = Executor(DEFINITIONS)
    assert _computed(executor.run(checked(sampling()))) == {"1", "2", "3", "4", "5"}
    assert _computed(executor.run(checked(sampling()))) == set()
    again = executor.run(checked(changed("4", seed=8)))
    assert _computed(again) == {"4", "5"}
    assert " 8 4 1.5 " in _text(again)
    assert _computed(executor.run(checked(changed("2", strength=0.25)))) == {"2", "3", "4", "5"}
    assert CALLS == {"WfModel": 1, "WfPatch": 2, "WfEncode": 2, "WfSample": 3, "WfSave": 3}


def test_results_of_a_run_before_the_last_are_gone() -> None:
    executor = Executor(DEFINITIONS)
    executor.run(checked(sampling()))
    executor.run(checked(changed("4", seed=8)))
    assert _computed(executor.run(checked(sampling()))) == {"4", "5"}
    assert len(executor._results) == 5


def test_equal_nodes_share_a_result_unless_they_ask_for_their_id() -> None:
    graph = sampling(n6=node("WfEncode", text="a cat", clip=["2", 1]), n7=node("WfSave", latent=["4", 0], prefix="out"))
    graph["4"]["inputs"]["positive"] = ["6", 0]
    graph["8"] = {**graph["4"], "inputs": {**graph["4"]["inputs"], "positive": ["3", 0]}}
    graph["7"]["inputs"]["latent"] = ["8", 0]
    run = Executor(DEFINITIONS).run(checked(graph))
    assert (CALLS["WfEncode"], CALLS["WfSample"], CALLS["WfSave"]) == (1, 1, 2)
    assert _text(run, "5") == _text(run, "7")


def test_a_run_reports_each_node_when_it_is_done() -> None:
    seen: list[NodeRun] = []
    run = Executor(DEFINITIONS).run(checked(sampling()), after_each=seen.append)
    assert tuple(seen) == run.nodes


def _class(function: Any, outputs: tuple[str, ...] = ("INT",), inputs: dict[str, Any] | None = None, **attributes: Any) -> type:
    """A node class around one function of its inputs."""
    declared = {"required": inputs or {}}
    body = {
        "INPUT_TYPES": classmethod(lambda cls: declared),
        "RETURN_TYPES": outputs,
        "FUNCTION": "run",
        "run": lambda self, **arguments: function(**arguments),
    }
    return type("Made", (), {**body, **attributes})


_NUMBER = {"x": ("INT", {})}


def _run(graph: dict[str, Any], executor: Executor | None = None, **classes: type) -> Run:
    show = _class(lambda x: {"ui": {"shown": [x]}}, (), {"x": ("INT", {})}, OUTPUT_NODE=True)
    show_list = _class(lambda x: {"ui": {"shown": list(x)}}, (), {"x": ("INT", {})}, OUTPUT_NODE=True, INPUT_IS_LIST=True)
    definitions = Definitions({**NODE_CLASS_MAPPINGS, "Show": show, "ShowList": show_list, **classes})
    executor = executor or Executor(definitions)
    executor.definitions = definitions
    return executor.run(checked(graph, definitions))


def _shown(run: Run, node_id: str = "9") -> list[Any]:
    return list(next(entry for entry in run.nodes if entry.id == node_id).ui["shown"])


def test_a_list_output_runs_what_follows_once_per_element() -> None:
    several = _class(lambda: ([1, 2, 3],), OUTPUT_IS_LIST=(True,))
    double = _class(lambda x, y: (10 * x + y,), ("INT",), {"x": ("INT", {}), "y": ("INT", {})})
    two = _class(lambda: ([5, 7],), OUTPUT_IS_LIST=(True,))
    graph = {"1": node("Several"), "2": node("Two"), "3": node("Double", x=["1", 0], y=["2", 0]), "9": node("Show", x=["3", 0])}
    # The shorter list repeats its last element.
    assert _shown(_run(graph, Several=several, Two=two, Double=double)) == [15, 27, 37]


def test_a_class_that_wants_lists_gets_them_whole() -> None:
    several = _class(lambda: ([1, 2, 3],), OUTPUT_IS_LIST=(True,))
    total = _class(lambda x, y: (sum(x) * y[0],), ("INT",), {"x": ("INT", {}), "y": ("INT", {})}, INPUT_IS_LIST=True)
    graph = {"1": node("Several"), "3": node("Total", x=["1", 0], y=2), "9": node("ShowList", x=["3", 0])}
    assert _shown(_run(graph, Several=several, Total=total)) == [12]


def test_one_element_per_call_is_joined_to_a_list_again() -> None:
    several = _class(lambda: ([1, 2],), OUTPUT_IS_LIST=(True,))
    spread = _class(lambda x: ([x, -x],), ("INT",), _NUMBER, OUTPUT_IS_LIST=(True,))
    graph = {"1": node("Several"), "2": node("Spread", x=["1", 0]), "9": node("ShowList", x=["2", 0])}
    assert _shown(_run(graph, Several=several, Spread=spread)) == [1, -1, 2, -2]


def test_results_beside_a_display() -> None:
    both = _class(lambda x: {"ui": {"text": ["t"]}, "result": (x + 1,)}, ("INT",), _NUMBER)
    assert _shown(_run({"1": node("Both", x=1), "9": node("Show", x=["1", 0])}, Both=both)) == [2]


def test_another_output_of_the_same_node_is_another_input() -> None:
    pair = _class(lambda: (1, 2), ("INT", "INT"))
    executor = Executor(DEFINITIONS)
    for slot in (0, 1):
        graph = {"1": node("Pair"), "9": node("Show", x=["1", slot])}
        assert _shown(_run(graph, executor, Pair=pair)) == [slot + 1]


def test_is_changed_decides_beside_the_inputs() -> None:
    state = {"file": "one"}
    loader = _class(lambda x: (len(state["file"]),), ("INT",), _NUMBER, IS_CHANGED=classmethod(lambda cls, x: state["file"]))
    executor = Executor(DEFINITIONS)
    graph = {"1": node("Loader", x=1), "9": node("Show", x=["1", 0])}
    assert _shown(_run(graph, executor, Loader=loader)) == [3]
    assert _computed(_run(graph, executor, Loader=loader)) == set()
    state["file"] = "three"
    assert _shown(_run(graph, executor, Loader=loader)) == [5]


@pytest.mark.parametrize("answer", [float("nan"), object()])
def test_is_changed_that_never_equals_itself_always_runs(answer: Any) -> None:
    loader = _class(lambda x: (x,), ("INT",), _NUMBER, IS_CHANGED=classmethod(lambda cls, x: answer))
    executor = Executor(DEFINITIONS)
    graph = {"1": node("Loader", x=1), "9": node("Show", x=["1", 0])}
    _run(graph, executor, Loader=loader)
    assert _computed(_run(graph, executor, Loader=loader)) == {"1", "9"}


def test_is_changed_sees_linked_inputs_as_none() -> None:
    seen = []
    loader = _class(lambda x: (x,), ("INT",), _NUMBER, IS_CHANGED=classmethod(lambda cls, x: seen.append(x) or 0))
    _run({"1": node("Loader", x=1), "2": node("Loader", x=["1", 0]), "9": node("Show", x=["2", 0])}, Loader=loader)
    assert seen == [1, None]


def _failure(**classes: type) -> NodeError:
    with pytest.raises(NodeError) as caught:
        _run({"1": node("Bad", x=1), "9": node("Show", x=["1", 0])}, **classes)
    return caught.value


def test_a_failing_node_is_named() -> None:
    def run(x: int) -> Any:
        raise ValueError("no such thing")

    failure = _failure(Bad=_class(run, ("INT",), _NUMBER))
    assert str(failure) == "Node 1 (Bad) failed: ValueError: no such thing"
    assert isinstance(failure.__cause__, ValueError)


def test_a_refusal_is_given_in_its_own_words() -> None:
    def run(x: int) -> Any:
        raise UserError("Use a smaller picture.")

    assert str(_failure(Bad=_class(run, ("INT",), _NUMBER))) == "Node 1 (Bad) failed: Use a smaller picture."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((), "returned 0 of 1 outputs"),
        (None, "returned 0 of 1 outputs"),
        ({"expand": {}, "result": (1,)}, "replaces itself by other nodes"),
    ],
)
def test_answers_that_cannot_be_used(answer: Any, words: str) -> None:
    assert words in str(_failure(Bad=_class(lambda x: answer, ("INT",), _NUMBER)))


def test_an_empty_list_for_a_single_value_is_named() -> None:
    empty = _class(lambda x: ([],), ("INT",), _NUMBER, OUTPUT_IS_LIST=(True,))
    with pytest.raises(NodeError, match=r'Node 9 \(Show\) failed: .*input "x" received an empty list'):
        _run({"1": node("Empty", x=1), "9": node("Show", x=["1", 0])}, Empty=empty)


def test_what_was_done_before_a_failure_is_kept() -> None:
    broken = [True]

    def run(x: int) -> tuple[int]:
        if broken[0]:
            raise ValueError("once")
        return (x,)

    classes = {"First": _class(lambda x: (x,), ("INT",), _NUMBER), "Bad": _class(run, ("INT",), _NUMBER)}
    graph = {"1": node("First", x=1), "2": node("Bad", x=["1", 0]), "9": node("Show", x=["2", 0])}
    executor = Executor(DEFINITIONS)
    with pytest.raises(NodeError):
        _run(graph, executor, **classes)
    broken[0] = False
    assert _computed(_run(graph, executor, **classes)) == {"2", "9"}


def test_the_user_stops_a_run_between_nodes(host: StandaloneHost) -> None:
    def run(x: int) -> tuple[int]:
        threading.Thread(target=host.interrupt).run()
        return (x,)

    executor = Executor(DEFINITIONS)
    graph = {"1": node("Stopping", x=1), "9": node("Show", x=["1", 0])}
    classes = {"Stopping": _class(run, ("INT",), _NUMBER)}
    with pytest.raises(Interrupted):
        _run(graph, executor, **classes)
    assert _computed(_run(graph, executor, **classes)) == {"9"}


def test_nodes_run_without_gradients() -> None:
    import torch

    modes = []
    probe = _class(lambda x: modes.append(torch.is_inference_mode_enabled()) or (x,), ("INT",), _NUMBER)
    _run({"1": node("Probe", x=1), "9": node("Show", x=["1", 0])}, Probe=probe)
    assert modes == [True]
