"""`--set NODE.INPUT=VALUE`: change one constant of a workflow before it runs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UserError
from .definitions import InputSpec, NodeDefinition
from .prompt import Link, Node, Prompt

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def apply_override(prompt: Prompt, definitions: Mapping[str, NodeDefinition], text: str) -> None:
    """Apply one `NODE.INPUT=VALUE`; NODE is an id, or a class name or title that only one node has.

    Raises:
        UserError: the text, the node, the input or the value is wrong; the message says which and what would be right.
    """
    target, equals, value = text.partition("=")
    if not equals or "." not in target:
        raise UserError(f'"{text}" does not say what to set. Write NODE.INPUT=VALUE, for example 5.seed=7 or FluxDenoise.seed=7.')
    node, name = _find(prompt, target.strip())
    definition = definitions.get(node.class_type)
    if definition is None:
        raise UserError(f"{target} cannot be set: {node.label} is of an unknown type.")
    spec = definition.inputs.get(name)
    if spec is None:
        raise UserError(f'{node.heading} has no input "{name}".{_suggest(name, definition.inputs)}')
    source = node.inputs.get(name)
    if isinstance(source, Link):
        raise UserError(
            f"{target} cannot be set: it is linked to node {source.node}. Set the input of that node, or remove the link in ComfyUI."
        )
    if not spec.is_widget:
        raise UserError(f"{target} cannot be set: it takes a connection of type {spec.type}, not a value.")
    prompt.set(node, name, _parse(target, spec, value))


def _find(prompt: Prompt, target: str) -> tuple[Node, str]:
    """The node and the input name. Titles and input names may hold dots, so every split is tried, shortest input name first."""
    splits = [(target[:at], target[at + 1 :]) for at in range(len(target) - 1, 0, -1) if target[at] == "."]
    for key, name in splits:
        if key in prompt.nodes:
            return prompt.nodes[key], name
    kinds: tuple[tuple[str, Callable[[Node], str]], ...] = (("of class", lambda n: n.class_type), ("titled", lambda n: n.title))
    for kind, label in kinds:
        for key, name in splits:
            found = [node for node in prompt.nodes.values() if label(node) == key]
            if len(found) == 1:
                return found[0], name
            if found:
                ids = ", ".join(node.id for node in found)
                raise UserError(f'{len(found)} nodes are {kind} "{key}": {ids}. Name one by its id, for example {found[0].id}.{name}=...')
    names = {name for node in prompt.nodes.values() for name in (node.id, node.class_type, node.title)}
    raise UserError(
        f'The workflow has no node "{splits[0][0] if splits else target}".{_suggest(splits[0][0] if splits else target, names)}'
    )


def _suggest(name: str, known: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3)
    return f" Did you mean {' or '.join(close)}?" if close else f" It knows {', '.join(sorted(known)) or 'none'}."


def _parse(target: str, spec: InputSpec, text: str) -> Any:
    if spec.type == "INT":
        return _number(target, int, text, "a whole number")
    if spec.type == "FLOAT":
        return _number(target, float, text, "a number")
    if spec.type == "BOOLEAN":
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise UserError(f'{target}: "{text}" is neither true nor false.')
        return word in _TRUE
    if spec.choices:
        # Choices may be numbers; a choice that is not listed is left to the node's own check.
        return next((choice for choice in spec.choices if str(choice) == text), text)
    return text


def _number(target: str, kind: type[int] | type[float], text: str, what: str) -> int | float:
    try:
        value = kind(text)
    except ValueError as error:
        raise UserError(f'{target}: "{text}" is not {what}.') from error
    if not math.isfinite(value):
        raise UserError(f'{target}: "{text}" is not a finite number.')
    return value
