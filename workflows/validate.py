"""Checks a prompt against the node classes before anything runs, by the rules of ComfyUI's own validation (execution.py).

Stricter than ComfyUI in four points, each of which only ever hides a mistake: one bad output stops the run instead of being left out,
numbers must be finite, a text is no truth value, and an empty value is no text.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .calls import call_over_lists
from .definitions import Definitions, InputSpec, NodeDefinition
from .prompt import Link, Node, Prompt
from .values import checked_value, in_limits, types_match

logger = logging.getLogger(__name__)


class WorkflowError(UserError):
    """A workflow that cannot run; `problems` holds one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class ValidPrompt:
    """A prompt that has passed validation: constants have the type that their input declares."""

    prompt: Prompt
    order: tuple[str, ...]
    """The ids of the nodes that outputs need, each after those it takes inputs from."""
    outputs: tuple[str, ...]


def validate(prompt: Prompt, definitions: Definitions) -> ValidPrompt:
    """Check every node that an output node needs, and convert its constants.

    Raises:
        WorkflowError: with one sentence per problem.
    """
    unknown = [node for node in prompt.nodes.values() if node.class_type not in definitions]
    if unknown:
        raise WorkflowError([_unknown(node) for node in unknown])
    outputs = tuple(node.id for node in prompt.nodes.values() if definitions[node.class_type].is_output)
    if not outputs:
        raise WorkflowError(["The workflow has no output node, so there is nothing to compute. Add one, for example SaveImage."])
    order = _order(prompt, outputs)
    problems = [problem for node_id in order for problem in _node_problems(prompt, prompt.nodes[node_id], definitions)]
    if problems:
        raise WorkflowError(problems)
    return ValidPrompt(prompt, order, outputs)


def _unknown(node: Node) -> str:
    values = " Its widget values cannot be named without it." if node.unplaced_values else ""
    return (
        f'Node {node.id}: the node type "{node.class_type}" is not known here; it belongs to ComfyUI or to another pack.{values} '
        "Run the workflow inside ComfyUI, or replace the node."
    )


def _order(prompt: Prompt, outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Depth first from the outputs, without recursion: chains may be long.

    Raises:
        WorkflowError: nodes depend on each other in a circle.
    """
    order: dict[str, None] = {}
    for output in outputs:
        path: dict[str, Iterator[tuple[str, Link]]] = {}
        pending = [output]
        while pending:
            node_id = pending[-1]
            if node_id in order:
                pending.pop()
                continue
            links = path.setdefault(node_id, prompt.nodes[node_id].links())
            step = next((link.node for _, link in links if link.node in prompt.nodes and link.node not in order), None)
            if step is None:
                order[node_id] = None
                path.pop(node_id)
                pending.pop()
            elif step in path:
                circle = [*list(path)[list(path).index(step) :], step]
                raise WorkflowError([f"Nodes depend on each other in a circle: {' -> '.join(reversed(circle))}. Remove one of the links."])
            else:
                pending.append(step)
    return tuple(order)


def _node_problems(prompt: Prompt, node: Node, definitions: Definitions) -> Iterator[str]:
    definition = definitions[node.class_type]
    node_class = definitions.classes[node.class_type]
    check = getattr(node_class, "VALIDATE_INPUTS", None)
    signature = inspect.getfullargspec(check) if check is not None else None
    named = set(signature.args) if signature else set()
    takes_all = signature is not None and signature.varkw is not None
    received: dict[str, Any] = {}
    failed = False
    for name in node.inputs.keys() - definition.inputs.keys():
        logger.warning('%s has no input "%s"; what the workflow gives it is ignored.', node.heading, name)
    for spec in definition.inputs.values():
        for problem in _input_problems(prompt, node, spec, definitions, received, named, takes_all):
            failed = True
            yield f'{node.heading}, input "{spec.name}": {problem}'
    if check is not None and not failed and (named or takes_all):
        yield from _own_check(node, node_class, definition, received, named, takes_all)


def _input_problems(
    prompt: Prompt,
    node: Node,
    spec: InputSpec,
    definitions: Definitions,
    received: dict[str, Any],
    named: set[str],
    takes_all: bool,
) -> Iterator[str]:
    value = node.inputs.get(spec.name)
    if spec.name not in node.inputs:
        if spec.required:
            yield f"nothing is connected, and it needs {spec.type}." if not spec.is_widget else "it is required and has no value."
    elif isinstance(value, Link):
        source = prompt.nodes.get(value.node)
        if source is None:
            yield f"it is linked to node {value.node}, which the workflow does not have."
            return
        outputs = definitions[source.class_type].outputs
        if not 0 <= value.slot < len(outputs):
            yield f"it is linked to output {value.slot} of {source.label}, which has {len(outputs)} (counted from 0)."
            return
        received[spec.name] = outputs[value.slot]
        declared: Any = list(spec.choices) if spec.choices is not None else spec.type
        if "input_types" not in named and not types_match(outputs[value.slot], declared):
            yield f"it takes {spec.type}, and output {value.slot} of {source.label} is {outputs[value.slot]}."
    else:
        converted = checked_value(spec, value)
        if converted.problem is None and spec.name not in named and not takes_all:
            converted = in_limits(spec, converted.value)
        if converted.problem is not None:
            yield converted.problem
        else:
            node.inputs[spec.name] = converted.value


def _own_check(
    node: Node, node_class: type, definition: NodeDefinition, received: Mapping[str, Any], named: set[str], takes_all: bool
) -> Iterator[str]:
    """The node's VALIDATE_INPUTS. It sees constants; linked inputs are None, and missing ones are not passed."""
    arguments: dict[str, list[Any]] = {}
    for name, value in node.inputs.items():
        if name in definition.inputs and (name in named or takes_all):
            arguments[name] = [None if isinstance(value, Link) else value]
    for name, kind in definition.hidden.items():
        if name in named or takes_all:
            arguments[name] = [node.id if kind == "UNIQUE_ID" else {} if kind == "PROMPT" else None]
    if "input_types" in named:
        arguments["input_types"] = [dict(received)]
    try:
        answers = call_over_lists(node_class, "VALIDATE_INPUTS", arguments)
    except UserError as error:
        answers = [str(error)]
    for answer in answers:
        if answer is not True:
            yield f"{node.heading}: {answer if isinstance(answer, str) else 'its own check refuses these inputs.'}"
