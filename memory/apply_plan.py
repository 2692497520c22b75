"""Handles under a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ..errors import UserError
from ..loaders.component import Component
from ..loaders.placement import check_placement
from ..loaders.precision import QUANTISED, QUANTISED_ROLES

if TYPE_CHECKING:
    from .plan_values import Choice, Plan
    from .preflight import Preflight


def under_plan(value: Any, flight: Preflight, plan: Plan) -> Any:
    """A handle, or a value made of handles, with the plan's choices; anything else as it is."""
    if isinstance(value, Component):
        part = next((part for part in flight.parts if part.component == value.id), None)
        return value if part is None else changed(value, plan.choices[part.name])
    if is_dataclass(value) and not isinstance(value, type):
        held = {entry.name: getattr(value, entry.name) for entry in fields(value) if entry.init}
        parts = {name: under_plan(inner, flight, plan) for name, inner in held.items() if isinstance(inner, Component)}
        return replace(value, **parts) if parts else value
    return value


def under_plan_all(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], flight: Preflight, plan: Plan
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, every handle among them under the plan."""
    return tuple(under_plan(value, flight, plan) for value in args), {
        name: under_plan(value, flight, plan) for name, value in kwargs.items()
    }


def changed(component: Component, choice: Choice) -> Component:
    """The handle under a choice that the loaders can carry out.

    Raises:
        UserError: they cannot; plans that are applied hold no such choice.
    """
    if choice.precision in QUANTISED and not component.role.startswith(QUANTISED_ROLES):
        raise UserError(f"The {component.label} cannot be held as {choice.precision}. Choose another precision in its loader.")
    placement = "offload_model" if choice.placement == "cpu" else choice.placement
    check_placement(placement, choice.precision)
    return replace(
        component,
        precision=cast(Any, choice.precision),
        device="cpu" if choice.placement == "cpu" else component.device,
        placement=placement,
        resident_blocks=choice.resident_blocks,
        tile=component.tile if choice.tile is None else choice.tile,
    )
