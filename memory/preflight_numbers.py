"""The sizes that a single node states: its own numbers, and those that nodes which only hold or compute a number give it."""

from __future__ import annotations

from typing import Any

from ..workflows.prompt import Link, Node, Prompt
from .estimate_values import Workload
from .expressions import compute
from .preflight_native import FRAME_INPUTS, VALUE_INPUTS

_SUFFIX = " (Advanced Models)"
_LARGEST = 16384
_MOST_MEGAPIXELS = 100


def node_class(node: Node) -> str:
    """The class, whether or not it had to be registered under another id."""
    return node.class_type.removesuffix(_SUFFIX)


def stated_area(prompt: Prompt, node: Node) -> Workload | None:
    """The size of a node that scales to so many megapixels, as a square: memory depends on the area."""
    megapixels = node.inputs.get("megapixels")
    if isinstance(megapixels, Link):
        megapixels = stated_number(prompt, megapixels)
    if node_class(node) == "FluxKontextImageScale":
        megapixels = 1
    if isinstance(megapixels, bool) or not isinstance(megapixels, (int, float)) or not 0 < megapixels <= _MOST_MEGAPIXELS:
        return None
    side = round((megapixels * 1024 * 1024) ** 0.5 / 16) * 16
    return Workload(max(side, 16), max(side, 16))


def stated_size(prompt: Prompt, node: Node) -> Workload | None:
    """The size that a node states by width and height."""
    width, height = (stated_number(prompt, node.inputs.get(name)) for name in ("width", "height"))
    if not width or not height or not (16 <= width <= _LARGEST and 16 <= height <= _LARGEST):
        return None
    batch = stated_number(prompt, node.inputs.get("batch_size")) or 1
    return Workload(width, height, _frames(prompt, node), batch)


def _frames(prompt: Prompt, node: Node) -> int:
    """The frames that a node states; 1 where it makes pictures, 0 where they come from a node that does not tell."""
    stated = next((node.inputs[name] for name in FRAME_INPUTS if name in node.inputs), 1)
    return stated_number(prompt, stated) or 0


def stated_number(prompt: Prompt, value: Any) -> int | None:
    """A whole number above 0, given in place or by nodes that hold or compute one."""
    number = _value(prompt, value)
    return int(number) if number is not None and number >= 1 else None


def _value(prompt: Prompt, value: Any, depth: int = 6) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    node = prompt.nodes.get(value.node) if isinstance(value, Link) and depth else None
    if node is None:
        return None
    if isinstance(expression := node.inputs.get("expression"), str):
        given = {name.removeprefix("values."): _value(prompt, inner, depth - 1) for name, inner in node.inputs.items()}
        return compute(expression, {name: number for name, number in given.items() if number is not None})
    held = next((name for name in VALUE_INPUTS if name in node.inputs), None)
    return None if held is None else _value(prompt, node.inputs[held], depth - 1)
