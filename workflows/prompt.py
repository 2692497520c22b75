"""The prompt: what a workflow file says is to be computed, in a form that does not depend on how the file was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Link:
    """An input that takes output number `slot` (counted from 0) of another node."""

    node: str
    slot: int


@dataclass(frozen=True)
class Place:
    """Where a value stands in the page's own file, so that a changed value can be written back into the graph that pictures carry."""

    values: Any
    key: int | str

    def write(self, value: object) -> None:
        self.values[self.key] = value

    def same_as(self, other: Place) -> bool:
        return self.values is other.values and self.key == other.key


@dataclass
class Node:
    """One node to compute. A value of `inputs` is a `Link` or a constant; constants may be lists."""

    id: str
    class_type: str
    inputs: dict[str, Any]
    title: str
    places: dict[str, tuple[Place, ...]] = field(default_factory=dict)
    unplaced_values: bool = False
    """The file holds widget values of this node whose names are unknown, because the node's class is."""

    def links(self) -> Iterator[tuple[str, Link]]:
        """The linked inputs, by name."""
        for name, value in self.inputs.items():
            if isinstance(value, Link):
                yield name, value

    @property
    def label(self) -> str:
        """How messages name it inside a sentence."""
        return f"node {self.id} ({self.class_type})"

    @property
    def heading(self) -> str:
        """How messages name it at the start of a sentence."""
        return f"Node {self.id} ({self.class_type})"


@dataclass
class Prompt:
    """All nodes of a workflow that ComfyUI's page would send to the server, by id, in the order of the file."""

    nodes: dict[str, Node]

    def set(self, node: Node, name: str, value: object) -> None:
        """Change the constant `name` of `node`, here and, where it stands there for this input alone, in the page's file."""
        node.inputs[name] = value
        for place in node.places.get(name, ()):
            if self._uses(place) == 1:
                place.write(value)

    def _uses(self, place: Place) -> int:
        groups = (places for node in self.nodes.values() for places in node.places.values())
        return sum(any(place.same_as(other) for other in places) for places in groups)

    def to_api(self) -> dict[str, Any]:
        """The API form: what `POST /prompt` takes, and what ComfyUI writes into the `prompt` field of its pictures."""
        return {
            node.id: {
                "inputs": {name: _api_value(value) for name, value in node.inputs.items()},
                "class_type": node.class_type,
                "_meta": {"title": node.title},
            }
            for node in self.nodes.values()
        }


def _api_value(value: object) -> object:
    if isinstance(value, Link):
        return [value.node, value.slot]
    # A bare list means a link in the API form, so the page wraps list values (executionUtil.ts, graphToPrompt).
    return {"__value__": value} if isinstance(value, list) else value


def constant(value: object) -> object:
    """A constant of the API form without the wrapping of list values."""
    if isinstance(value, Mapping) and "__value__" in value:
        return value["__value__"]
    return value
