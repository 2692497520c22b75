"""Subgraphs: which graph a node stands in, under which id it runs, and which values its instance sets from outside.

A subgraph node is replaced by the nodes of its definition. Their ids are joined by colons: node 5 of the subgraph node 12 runs as
`12:5`. The widgets of the instance hold the values of the inner inputs they are joined to; where the instance says nothing, the value
in the definition stands. (Front end 1.58: SubgraphNode.ts, ExecutableNodeDTO.ts, proxyWidgetMigration.ts.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import UserError
from .page_graph import PageGraph, PageInput, PageNode
from .prompt import Place
from .widgets import Setting, named_settings

SettingsOf = Callable[[PageNode], Mapping[str, Setting]]
"""The widget settings of a plain node by input name."""

_HOST = "-1"
"""In a list of shown widgets: the subgraph node itself rather than a node inside."""


@dataclass
class Scope:
    """The main graph, or one instance of a subgraph."""

    graph: PageGraph
    path: tuple[str, ...] = ()
    host: PageNode | None = None
    parent: Scope | None = None
    by_boundary: Mapping[str, Setting] = field(default_factory=dict)
    """Values that the instance gives to its inputs that nothing is linked to."""
    by_widget: Mapping[tuple[str, str], Setting] = field(default_factory=dict)
    """Values that the instance gives to widgets inside that are joined to no input: (inner node, widget)."""

    def id_of(self, node: PageNode) -> str:
        return ":".join((*self.path, node.id))


class Subgraphs:
    """The subgraph definitions of one file, and the scopes of their instances."""

    def __init__(self, definitions: Mapping[str, PageGraph], settings_of: SettingsOf) -> None:
        self._definitions = definitions
        self._settings_of = settings_of
        self._scopes: dict[tuple[str, ...], Scope] = {}

    def is_instance(self, node: PageNode) -> bool:
        return node.type in self._definitions

    def sockets(self, node: PageNode) -> tuple[PageInput, ...]:
        """The inputs of a subgraph node: those of its definition, in that order; the file may leave out unlinked ones."""
        links = {entry.name: entry.link for entry in node.inputs}
        return tuple(PageInput(entry.name, entry.type, links.get(entry.name), None) for entry in self._definitions[node.type].inputs)

    def scope(self, parent: Scope, node: PageNode) -> Scope:
        """The scope inside the subgraph node `node` of `parent`.

        Raises:
            UserError: the subgraph contains itself.
        """
        path = (*parent.path, node.id)
        if path not in self._scopes:
            around: Scope | None = parent
            while around is not None:
                if around.host is not None and around.host.type == node.type:
                    raise UserError(
                        f"{self._definitions[node.type].name} contains itself (node {':'.join(path)}). Take it out and save the file again."
                    )
                around = around.parent
            graph = self._definitions[node.type]
            by_boundary, by_widget = self._instance_settings(node, graph)
            self._scopes[path] = Scope(graph, path, node, parent, by_boundary, by_widget)
        return self._scopes[path]

    def _instance_settings(self, host: PageNode, graph: PageGraph) -> tuple[dict[str, Setting], dict[tuple[str, str], Setting]]:
        targets = {boundary.name: target for boundary in graph.inputs if (target := self._first_widget(graph, boundary.links))}
        by_boundary = {name: setting for name, (_, _, setting) in targets.items() if setting is not None}
        by_widget: dict[tuple[str, str], Setting] = {}
        if host.named_values is not None and not host.proxies:
            return {**by_boundary, **named_settings(host)}, by_widget
        if host.proxies:
            joined = {(node, widget): name for name, (node, widget, _) in targets.items()}
            shown = [(_HOST, joined[entry]) if entry in joined else entry for entry in host.proxies]
        else:
            shown = [(_HOST, name) for name in targets]
        for position, (source, name) in enumerate(shown[: len(host.values)]):
            if host.values[position] is None:
                continue
            setting = Setting(host.values[position], (Place(host.values, position),))
            if source == _HOST:
                by_boundary[name] = setting
            else:
                by_widget[source, name] = setting
        return by_boundary, by_widget

    def _first_widget(self, graph: PageGraph, links: tuple[str, ...]) -> tuple[str, str, Setting | None] | None:
        """The widget that an input of a subgraph shows: the first one joined to it, with the value it has inside if that is known."""
        for link in links:
            found = graph.target(link)
            if found is None:
                continue
            node, entry = found
            if self.is_instance(node):
                settings: Mapping[str, Setting] = self._instance_settings(node, self._definitions[node.type])[0]
            else:
                settings = self._settings_of(node)
            if entry.name in settings or entry.widget is not None:
                return node.id, entry.name, settings.get(entry.name)
        return None
