"""Without a VRAMGuard in the graph, loaders set to `auto` get from the same planner what fits the card."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import host
from ..host.measure import main_memory
from .apply_plan import under_plan_all

if TYPE_CHECKING:
    from .plan_values import Machine, Part, Plan
    from .preflight import Preflight

log = logging.getLogger(__name__)

_last: dict[tuple[Part, ...], Plan] = {}
"""The plan that was chosen last, by the parts it was chosen for."""


def has_guard(prompt: Mapping[str, Any]) -> bool:
    """Whether a VRAMGuard stands in a graph in its API form."""
    return any(node.get("class_type", "").startswith("VRAMGuard") for node in prompt.values())


def automatic_plan() -> tuple[Preflight, Plan] | None:
    """The plan for the graph that is running, and what it was made from.

    None where nothing has to change: the graph fits as it is, there is no card, a VRAMGuard decides, nothing that can be executed fits, or
    ComfyUI's own loaders take part, whose memory ComfyUI manages. Parts whose loader names a precision keep it.
    """
    prompt, available = host.current().running_prompt(), host.current().device_memory()
    if prompt is None or available is None or has_guard(prompt):
        return None
    from .plan_values import Machine, Pin, Wishes
    from .preflight import preflight_of_prompt

    flight = preflight_of_prompt(prompt)
    if flight.facts.native:
        return None
    machine = Machine(available, main_memory())
    kept = _last.get(flight.parts)
    # What is free varies from run to run. A plan that still fits is kept, for another one would load everything anew.
    if kept is not None and _fits(kept, machine):
        return flight, kept
    pinned = {part.name: Pin(part.precision) for part in flight.parts if part.chosen}
    report = flight.judge(machine, Wishes(pinned=pinned))
    if report.verdict != "fits_with_plan" or report.plan is None:
        return None
    _last.clear()
    _last[flight.parts] = report.plan
    words = "; ".join(f"{name.replace('_', ' ')}: {choice.describe()}" for name, choice in report.plan.choices.items())
    log.info("as it is this graph would not fit the card; 'auto' chose: %s", words)
    return flight, report.plan


def _fits(plan: Plan, machine: Machine) -> bool:
    from .estimate import RESERVE

    # What the plan reserves for CUDA and its libraries they have taken by now, and it is no longer among what is free.
    return plan.peak - RESERVE <= machine.usable and plan.host <= machine.usable_host


def planned(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a stage, their handles under the automatic plan where there is one."""
    chosen = automatic_plan()
    return (args, dict(kwargs)) if chosen is None else under_plan_all(args, kwargs, *chosen)
