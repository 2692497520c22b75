"""From the graph that the page saves to the prompt that the page would send (front end 1.58, executionUtil.ts).

What is left out or looked through: notes, reroutes, primitives (their value is the value of what they are linked to), muted nodes (what
hangs on them gets nothing), bypassed nodes (an output passes on the input of the same type), and subgraphs, which are replaced by what
they contain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .definitions import NodeDefinition
from .page_graph import BYPASSED, MUTED, SUBGRAPH_INPUT, PageInput, PageNode, parse_page
from .prompt import Link, Node, Prompt
from .subgraphs import Scope, Subgraphs
from .widgets import Setting, WidgetSettings, first_value, sockets, widget_settings

_NOTES = frozenset({"Note", "MarkdownNote"})
_REROUTE = "Reroute"
_PRIMITIVE = "PrimitiveNode"
_GROUP_NODE_PREFIXES = ("workflow>", "workflow/")


def page_to_prompt(page: Mapping[str, Any], definitions: Mapping[str, NodeDefinition]) -> Prompt:
    """The prompt of a saved graph.

    Args:
        page: the parsed file. Its widget values are referred to by the prompt, which writes changed values back into them.
        definitions: what is known of node classes; others are read as far as the file itself says.

    Raises:
        UserError: the graph is damaged or holds what only the page can expand.
    """
    return _Reader(page, definitions).prompt()


@dataclass(frozen=True)
class _Input:
    """One input slot of a node in its scope."""

    scope: Scope
    node: PageNode
    index: int


class _Reader:
    def __init__(self, page: Mapping[str, Any], definitions: Mapping[str, NodeDefinition]) -> None:
        self._definitions = definitions
        graph, subgraphs = parse_page(page)
        self._root = Scope(graph)
        self._subgraphs = Subgraphs(subgraphs, lambda node: self._settings(node).by_name)
        self._settings_of: dict[int, WidgetSettings] = {}

    def prompt(self) -> Prompt:
        nodes = {node.id: node for node in (self._node(scope, node) for scope, node in self._expand(self._root))}
        return Prompt(nodes)

    def _expand(self, scope: Scope) -> Iterator[tuple[Scope, PageNode]]:
        """The nodes that compute something, with subgraphs replaced by what they contain."""
        for node in scope.graph.nodes.values():
            if not node.runs or node.type in _NOTES or node.type in (_REROUTE, _PRIMITIVE):
                continue
            if self._subgraphs.is_instance(node):
                yield from self._expand(self._subgraphs.scope(scope, node))
                continue
            if node.type.startswith(_GROUP_NODE_PREFIXES):
                raise UserError(
                    f'Node {scope.id_of(node)} is a group node ("{node.type}"), which only ComfyUI\'s page can expand. '
                    "Open the file in ComfyUI, convert the group node to a subgraph or to nodes, and save it again."
                )
            yield scope, node

    def _settings(self, node: PageNode) -> WidgetSettings:
        if id(node) not in self._settings_of:
            self._settings_of[id(node)] = widget_settings(node, self._definitions.get(node.type))
        return self._settings_of[id(node)]

    def _sockets(self, node: PageNode) -> tuple[PageInput, ...]:
        if self._subgraphs.is_instance(node):
            return self._subgraphs.sockets(node)
        return sockets(node, self._definitions.get(node.type))

    def _node(self, scope: Scope, node: PageNode) -> Node:
        settings = self._settings(node)
        found = {name: scope.by_widget.get((node.id, name), setting) for name, setting in settings.by_name.items()}
        inputs: dict[str, Any] = {name: setting.value for name, setting in found.items()}
        places = {name: setting.places for name, setting in found.items()}
        for index, entry in enumerate(self._sockets(node)):
            source = self._resolve(_Input(scope, node, index))
            if isinstance(source, Setting):
                inputs[entry.name], places[entry.name] = source.value, source.places
            elif source is not None:
                inputs[entry.name] = source
                places.pop(entry.name, None)
        return Node(scope.id_of(node), node.type, inputs, node.title or node.type, places, not settings.complete)

    def _resolve(self, start: _Input) -> Link | Setting | None:
        """What an input is linked to in the end; None when it is linked to nothing that computes."""
        at = start
        wanted: str | None = None
        seen: set[tuple[tuple[str, ...], str, int]] = set()
        while True:
            key = (at.scope.path, at.node.id, at.index)
            if key in seen:
                raise UserError(
                    f"The links that lead to node {start.scope.id_of(start.node)} ({start.node.type}) run in a circle. Remove one of them."
                )
            seen.add(key)
            entries = self._sockets(at.node)
            if at.index >= len(entries) or entries[at.index].link is None:
                return None
            wanted = wanted or entries[at.index].type
            link = at.scope.graph.links.get(str(entries[at.index].link))
            if link is None:
                raise UserError(
                    f'Node {at.scope.id_of(at.node)} ({at.node.type}): input "{entries[at.index].name}" names link '
                    f"{entries[at.index].link}, which the file does not have. Connect it again in ComfyUI and save the file."
                )
            step = self._follow(at, link.origin, link.origin_slot, wanted)
            if not isinstance(step, tuple):
                return step
            at, wanted = step

    def _follow(self, at: _Input, origin: str, slot: int, wanted: str) -> Link | Setting | tuple[_Input, str | None] | None:
        """One output: what it stands for, or the input it passes on, with the type that is wanted from there."""
        scope = at.scope
        while True:
            if origin == SUBGRAPH_INPUT:
                return self._outside(scope, slot)
            node = scope.graph.nodes.get(origin)
            if node is None:
                raise UserError(
                    f"Node {at.scope.id_of(at.node)} ({at.node.type}) is linked to node {origin}, which the file does not have. "
                    "Connect it again in ComfyUI and save the file."
                )
            if node.mode == MUTED or node.type in _NOTES:
                return None
            if node.mode == BYPASSED:
                index = self._bypass_index(node, slot, wanted)
                return None if index is None else (_Input(scope, node, index), None)
            if node.type == _REROUTE:
                return _Input(scope, node, slot), wanted
            if node.type == _PRIMITIVE:
                return first_value(node)
            if not self._subgraphs.is_instance(node):
                return Link(scope.id_of(node), slot)
            scope = self._subgraphs.scope(scope, node)
            if slot >= len(scope.graph.outputs) or not scope.graph.outputs[slot].links:
                return None
            inner = scope.graph.links.get(scope.graph.outputs[slot].links[0])
            if inner is None:
                return None
            origin, slot = inner.origin, inner.origin_slot

    def _outside(self, scope: Scope, slot: int) -> Setting | tuple[_Input, None] | None:
        """Input `slot` of a subgraph, seen from inside: the link or else the value that the instance has for it."""
        if scope.host is None or scope.parent is None or slot >= len(scope.graph.inputs):
            return None
        if self._sockets(scope.host)[slot].link is not None:
            return _Input(scope.parent, scope.host, slot), None
        name = scope.graph.inputs[slot].name
        return scope.parent.by_widget.get((scope.host.id, name), scope.by_boundary.get(name))

    def _bypass_index(self, node: PageNode, slot: int, wanted: str) -> int | None:
        """The input that a bypassed node passes on as output `slot` (ExecutableNodeDTO.ts, _getBypassSlotIndex)."""
        entries = self._sockets(node)
        if wanted == "*":
            return slot if slot < len(entries) else 0
        given = node.outputs[slot] if slot < len(node.outputs) else "*"
        if slot < len(entries) and _connects(entries[slot].type, given) and _connects(entries[slot].type, wanted):
            return slot
        for index, entry in enumerate(entries):
            if entry.type == wanted:
                return index
        for index, entry in enumerate(entries):
            if _connects(entry.type, given) and _connects(entry.type, wanted):
                return index
        return None


def _connects(one: str, other: str) -> bool:
    """Whether the page lets two socket types be linked (LiteGraphGlobal.ts, isValidConnection)."""
    if "*" in (one, other):
        return True
    return not {part.strip().lower() for part in one.split(",")}.isdisjoint(part.strip().lower() for part in other.split(","))
