"""The table of plans in the docs is what the planner says, no plan exceeds its budget, and the simulator agrees on FLUX with 8 GB."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from advanced_models.memory.plan_values import Machine, Plan
from advanced_models.memory.preflight import Preflight

TOOLS = Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOOLS))

import write_plans  # noqa: E402

SHOWN = [
    pytest.param(flight, report.plan, machine, id=f"{model}-{size.width}x{size.height}-{card}-{memory}")
    for model, size, flight, machine, card, memory, report in write_plans.reports()
    if report.plan is not None and report.verdict != "does_not_fit"
]


def test_the_page_is_what_the_planner_says() -> None:
    assert write_plans.PLANS_FILE.read_text(encoding="utf-8") == write_plans.text()


@pytest.mark.parametrize(("flight", "plan", "machine"), SHOWN)
def test_no_plan_exceeds_its_machine(flight: Preflight, plan: Plan, machine: Machine) -> None:
    assert plan.peak <= machine.usable
    assert plan.host <= machine.usable_host
    assert not plan.missing
    assert set(plan.choices) == {part.name for part in flight.parts}


def test_the_simulator_agrees_on_the_smallest_card_that_draws_with_flux() -> None:
    flight, plan, machine = SHOWN[0].values
    assert machine == Machine.of(8, 32)
    assert list(write_plans.excess(flight, plan, machine)) == []
