"""The graph that ComfyUI's page saves, as typed values: nodes, links, subgraph definitions.

Two shapes of link are read: `[id, origin, slot, target, slot, type]` (schema 0.4) and objects with named fields (schema 1, and every
subgraph). Groups, native reroute points (bends of a link) and floating links change nothing that is computed and are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

SUBGRAPH_INPUT = "-10"
SUBGRAPH_OUTPUT = "-20"
"""Ids that stand for the boundary of a subgraph (litegraph's SUBGRAPH_INPUT_ID and SUBGRAPH_OUTPUT_ID)."""

MUTED = 2
BYPASSED = 4
"""Node modes: litegraph's LGraphEventMode.NEVER and BYPASS."""


@dataclass(frozen=True)
class PageLink:
    id: str
    origin: str
    origin_slot: int


@dataclass(frozen=True)
class PageInput:
    name: str
    type: str
    link: str | None
    widget: str | None
    """The name of the widget that this socket belongs to; None for a plain socket."""


@dataclass(frozen=True)
class PageNode:
    id: str
    type: str
    mode: int
    title: str | None
    inputs: tuple[PageInput, ...]
    outputs: tuple[str, ...]
    """Output types."""
    values: list[Any]
    """Widget values by position. This and `named_values` are the very objects of the file."""
    named_values: dict[str, Any] | None
    """Widget values by name: newer pages write them a second time so, some packs write them only so."""
    proxies: tuple[tuple[str, str], ...]
    """Of a subgraph node: (inner node or "-1", widget name) of each widget that it shows in place of an inner one."""

    @property
    def runs(self) -> bool:
        return self.mode not in (MUTED, BYPASSED)


@dataclass(frozen=True)
class Boundary:
    """One input or output of a subgraph, with the links inside that are joined to it."""

    name: str
    type: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class PageGraph:
    name: str
    nodes: Mapping[str, PageNode]
    links: Mapping[str, PageLink]
    inputs: tuple[Boundary, ...] = ()
    outputs: tuple[Boundary, ...] = ()

    def target(self, link: str) -> tuple[PageNode, PageInput] | None:
        """The node and input that a link ends at."""
        for node in self.nodes.values():
            for entry in node.inputs:
                if entry.link == link:
                    return node, entry
        return None


def parse_page(page: Mapping[str, Any]) -> tuple[PageGraph, dict[str, PageGraph]]:
    """The main graph and the subgraph definitions by id.

    Raises:
        UserError: the file lacks what every saved graph has, or gives two nodes of one graph the same id.
    """
    definitions: dict[str, PageGraph] = {}
    try:
        _collect_definitions(page, definitions)
        return _graph(page, "the workflow"), definitions
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(
            f"The workflow is not as ComfyUI's page saves it ({type(error).__name__}: {error}). Open it in ComfyUI and save it again."
        ) from error


def _collect_definitions(graph: Mapping[str, Any], into: dict[str, PageGraph]) -> None:
    for definition in (graph.get("definitions") or {}).get("subgraphs") or ():
        into[str(definition["id"])] = _graph(definition, f'subgraph "{definition.get("name") or definition["id"]}"')
        _collect_definitions(definition, into)


def _graph(data: Mapping[str, Any], name: str) -> PageGraph:
    nodes: dict[str, PageNode] = {}
    for entry in data["nodes"]:
        node = _node(entry)
        if node.id in nodes:
            raise UserError(
                f"In {name} two nodes have the id {node.id} ({nodes[node.id].type} and {node.type}), so links to it are ambiguous. "
                "Open the file in ComfyUI and save it again."
            )
        nodes[node.id] = node
    links = {link.id: link for link in map(_link, data.get("links") or ())}
    return PageGraph(name, nodes, links, _boundaries(data.get("inputs")), _boundaries(data.get("outputs")))


def _node(data: Mapping[str, Any]) -> PageNode:
    properties = data.get("properties") or {}
    values = data.get("widgets_values")
    named = values if isinstance(values, dict) else data.get("widgets_values_named")
    return PageNode(
        id=str(data["id"]),
        type=str(data["type"]),
        mode=int(data.get("mode") or 0),
        title=data.get("title") or None,
        inputs=tuple(_input(entry) for entry in data.get("inputs") or ()),
        outputs=tuple(_type(entry.get("type")) for entry in data.get("outputs") or ()),
        values=values if isinstance(values, list) else [],
        named_values=named if isinstance(named, dict) else None,
        proxies=tuple((str(entry[0]), str(entry[1])) for entry in properties.get("proxyWidgets") or ()),
    )


def _input(data: Mapping[str, Any]) -> PageInput:
    link, widget = data.get("link"), data.get("widget")
    return PageInput(
        name=str(data.get("name", "")),
        type=_type(data.get("type")),
        link=None if link is None else str(link),
        widget=None if widget is None else str(widget["name"]),
    )


def _type(data: Any) -> str:
    # litegraph writes "any" as 0, "" or "*" (LiteGraphGlobal.ts, isValidConnection).
    return "*" if data in (None, 0, "", "*") else str(data)


def _link(data: Any) -> PageLink:
    if isinstance(data, Mapping):
        return PageLink(str(data["id"]), str(data["origin_id"]), int(data["origin_slot"]))
    return PageLink(str(data[0]), str(data[1]), int(data[2]))


def _boundaries(data: Sequence[Mapping[str, Any]] | None) -> tuple[Boundary, ...]:
    return tuple(
        Boundary(str(entry["name"]), _type(entry.get("type")), tuple(str(link) for link in entry.get("linkIds") or ()))
        for entry in data or ()
    )
