"""Runs a validated prompt, with the results of the last run at hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..errors import Interrupted, UserError
from ..host import current
from .calls import call_over_lists
from .definitions import Definitions
from .prompt import Link, Node
from .signature import node_signature
from .validate import ValidPrompt

_EMPTY: Mapping[str, Any] = {}


class NodeError(Exception):
    """A node that raised while running; the cause is `__cause__`."""

    def __init__(self, node: Node, cause: Exception) -> None:
        text = str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {cause}"
        super().__init__(f"{node.heading} failed: {text}")
        self.node = node


@dataclass(frozen=True)
class NodeRun:
    """What became of one node in one run."""

    id: str
    class_type: str
    seconds: float
    cached: bool
    ui: Mapping[str, list[Any]]
    """What the node reports for display: `images` with filename, subfolder and type for nodes that save."""

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """The files that the node reports, each once: its kind (`output`, `temp`) and its path below the folder of that kind."""
        entries = (entry for entries in self.ui.values() for entry in entries if isinstance(entry, Mapping) and "filename" in entry)
        found = (
            (str(entry.get("type")), str(PurePosixPath(str(entry.get("subfolder", ""))) / str(entry["filename"]))) for entry in entries
        )
        return tuple(dict.fromkeys(found))

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that the node reports."""
        return tuple(text for text in self.ui.get("text", ()) if isinstance(text, str))


@dataclass(frozen=True)
class Run:
    """One run of a workflow."""

    nodes: tuple[NodeRun, ...]
    seconds: float


@dataclass(frozen=True)
class _Result:
    outputs: list[list[Any]]
    """Per output the list of its elements; one element unless the node returns or received lists."""
    ui: Mapping[str, list[Any]]


@dataclass
class Executor:
    """Runs prompts one after another and computes again only what is downstream of a change.

    It keeps the results of the last run and nothing else: what a new prompt does not use is dropped before that prompt starts.
    """

    definitions: Definitions
    _results: dict[str, _Result] = field(default_factory=dict)
    _objects: dict[tuple[str, str], Any] = field(default_factory=dict)

    def run(
        self,
        valid: ValidPrompt,
        *,
        workflow: Mapping[str, Any] | None = None,
        after_each: Callable[[NodeRun], None] | None = None,
    ) -> Run:
        """Compute every node that the outputs need.

        Args:
            workflow: the graph that saved pictures carry beside the prompt.
            after_each: called when a node is done.

        Raises:
            NodeError: a node raised; the results of the nodes before it are kept for the next run.
            Interrupted: the user stopped the run.
        """
        started = time.perf_counter()
        nodes = [valid.prompt.nodes[node_id] for node_id in valid.order]
        signatures: dict[str, str] = {}
        for node in nodes:
            with _named_failure(node):
                signatures[node.id] = node_signature(node, self.definitions, signatures)
        self._forget_all_but(signatures, nodes)
        api = valid.prompt.to_api()
        extra = None if workflow is None else {"workflow": workflow}
        runs = []
        with current().inference():
            for node in nodes:
                done = self._run_node(node, signatures, {"PROMPT": api, "EXTRA_PNGINFO": extra, "UNIQUE_ID": node.id})
                runs.append(done)
                if after_each is not None:
                    after_each(done)
        return Run(tuple(runs), time.perf_counter() - started)

    def _forget_all_but(self, signatures: Mapping[str, str], nodes: list[Node]) -> None:
        used = set(signatures.values())
        self._results = {signature: result for signature, result in self._results.items() if signature in used}
        kept = {(node.id, node.class_type) for node in nodes}
        self._objects = {key: value for key, value in self._objects.items() if key in kept}

    def _run_node(self, node: Node, signatures: Mapping[str, str], hidden: Mapping[str, Any]) -> NodeRun:
        signature = signatures[node.id]
        known = self._results.get(signature)
        if known is not None:
            return NodeRun(node.id, node.class_type, 0.0, True, known.ui)
        started = time.perf_counter()
        with _named_failure(node):
            result = self._compute(node, signatures, hidden)
        self._results[signature] = result
        return NodeRun(node.id, node.class_type, time.perf_counter() - started, False, result.ui)

    def _compute(self, node: Node, signatures: Mapping[str, str], hidden: Mapping[str, Any]) -> _Result:
        definition, node_class = self.definitions[node.class_type], self.definitions.classes[node.class_type]
        arguments: dict[str, list[Any]] = {}
        for name, value in node.inputs.items():
            if name not in definition.inputs:
                continue
            if isinstance(value, Link):
                arguments[name] = self._results[signatures[value.node]].outputs[value.slot]
            else:
                arguments[name] = [value]
        for name, kind in definition.hidden.items():
            arguments[name] = [hidden.get(kind)]
        owner = self._objects.setdefault((node.id, node.class_type), node_class())
        answers = call_over_lists(owner, node_class.FUNCTION, arguments, current().raise_if_interrupted)  # type: ignore[attr-defined]
        return _merge(answers, node_class, len(definition.outputs))


@contextmanager
def _named_failure(node: Node) -> Iterator[None]:
    """Give what a node raises the name of the node."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        raise NodeError(node, error) from error


def _merge(answers: list[Any], node_class: type, output_count: int) -> _Result:
    """Join the answers of the calls: per output one list (execution.py, get_output_from_returns and merge_result_data).

    Raises:
        UserError: a node replaces itself by other nodes, which only ComfyUI can run.
        ValueError: a node returned fewer values than it declares.
    """
    rows, displays = [], []
    for answer in answers:
        if isinstance(answer, dict):
            if "expand" in answer:
                raise UserError("It replaces itself by other nodes, which only ComfyUI can run. Run the workflow inside ComfyUI.")
            if "ui" in answer:
                displays.append(answer["ui"])
            answer = answer.get("result")
        row = () if answer is None else tuple(answer)
        if len(row) < output_count:
            raise ValueError(f"returned {len(row)} of {output_count} outputs")
        rows.append(row)
    is_list = tuple(getattr(node_class, "OUTPUT_IS_LIST", ())) or (False,) * output_count
    outputs = [
        [element for row in rows for element in row[index]] if is_list[index] else [row[index] for row in rows]
        for index in range(output_count)
    ]
    # As ComfyUI does: the keys of the first call, the entries of all.
    ui = {key: [entry for display in displays for entry in display[key]] for key in displays[0]} if displays else _EMPTY
    return _Result(outputs, ui)
