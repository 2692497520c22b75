"""Which widget value of a saved node belongs to which input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .definitions import InputSpec, NodeDefinition
from .page_graph import PageInput, PageNode
from .prompt import Place

CONTROL_VALUES = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
"""What the page's own widget behind a seed can hold. It changes the seed between runs; the saved seed is the one that runs."""

PAGE_WIDGETS = frozenset({"control_after_generate", "control_filter_list"})
"""Widgets that the page keeps out of the prompt."""


@dataclass(frozen=True)
class Setting:
    """A constant with the places of the file that hold it; none where it is a default."""

    value: Any
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class WidgetSettings:
    by_name: Mapping[str, Setting]
    complete: bool
    """False when the node holds values that could not be given a name."""


def sockets(node: PageNode, definition: NodeDefinition | None) -> tuple[PageInput, ...]:
    """The inputs of a node in the order in which the page counts them.

    The page rebuilds them from the class: plain sockets, then widgets, each in declared order, then whatever else the file has. A file
    may leave out the sockets of widgets. Without the class the order of the file stands.
    """
    if definition is None:
        return node.inputs
    saved = {entry.name: entry for entry in node.inputs}
    declared = [_socket(spec, saved.get(spec.name)) for spec in definition.inputs.values() if not spec.is_widget]
    declared += [_socket(spec, saved.get(spec.name)) for spec in definition.inputs.values() if spec.is_widget]
    return (*declared, *(entry for entry in node.inputs if entry.name not in definition.inputs))


def _socket(spec: InputSpec, saved: PageInput | None) -> PageInput:
    return PageInput(spec.name, spec.type, saved.link if saved else None, spec.name if spec.is_widget else None)


def widget_settings(node: PageNode, definition: NodeDefinition | None) -> WidgetSettings:
    """The widget values of a node by input name.

    Values stand in the order of the widgets: required inputs, then optional ones, as declared, each followed by the page's own control
    widgets. Where the class is unknown, the names come from the `widget` entries of the saved sockets; files that carry neither
    (before 2025, and exported ones) leave the values unnamed.
    """
    if definition is not None:
        return WidgetSettings(_of_known_class(node, definition), True)
    buttons = {entry.widget for entry in node.inputs if entry.type.endswith("UPLOAD")}
    if node.named_values is not None:
        settings = named_settings(node)
    else:
        settings, used = _in_order([entry.widget for entry in node.inputs if entry.widget is not None], node)
        if used < len(node.values):
            return WidgetSettings({}, False)
    return WidgetSettings({name: setting for name, setting in settings.items() if name not in PAGE_WIDGETS | buttons}, True)


def _of_known_class(node: PageNode, definition: NodeDefinition) -> dict[str, Setting]:
    widgets = [spec for spec in definition.inputs.values() if spec.is_widget]
    saved = named_settings(node) if node.named_values and not node.values else dict(_declared_order(node, widgets))
    settings = {}
    for spec in widgets:
        if spec.name in saved:
            settings[spec.name] = saved[spec.name]
        elif spec.default is not None:
            settings[spec.name] = Setting(spec.default)
    return settings


def _declared_order(node: PageNode, widgets: list[InputSpec]) -> Iterator[tuple[str, Setting]]:
    position = 0
    for spec in widgets:
        if position >= len(node.values):
            return
        yield spec.name, _at(node, position, spec.name)
        position += 1
        # Files from before a class had the control lack its value; the next widget's value stands there.
        if spec.page_widgets and _is_control(node, position):
            position += spec.page_widgets


def _in_order(names: list[str], node: PageNode) -> tuple[dict[str, Setting], int]:
    """Settings for the names in order, stepping over values that can only be a seed's control, and how many values that took."""
    settings: dict[str, Setting] = {}
    position = 0
    for index, name in enumerate(names):
        if position >= len(node.values):
            break
        settings[name] = _at(node, position, name)
        position += 1
        left = len(names) - index - 1
        if len(node.values) - position > left and _is_control(node, position):
            position += 1
    return settings, position


def _is_control(node: PageNode, position: int) -> bool:
    return position < len(node.values) and isinstance(node.values[position], str) and node.values[position] in CONTROL_VALUES


def _at(node: PageNode, position: int, name: str) -> Setting:
    named = node.named_values or {}
    return Setting(node.values[position], (Place(node.values, position), *((Place(named, name),) if name in named else ())))


def named_settings(node: PageNode) -> dict[str, Setting]:
    """The values of a node that the file names.

    Newer pages write the values twice, in the same order. The list is what the page itself reads, and the two may differ in files that
    were edited by hand, so the list gives the values and the names come from the other.
    """
    named = node.named_values or {}
    if len(named) == len(node.values):
        return {name: _at(node, position, name) for position, name in enumerate(named)}
    return {name: Setting(value, (Place(named, name),)) for name, value in named.items()}


def first_value(node: PageNode) -> Setting | None:
    """The value of the page's Primitive, whose first widget is its value."""
    return _at(node, 0, "value") if node.values else None
