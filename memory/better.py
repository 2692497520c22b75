"""What more memory would buy: the nearest plan that is clearly better than the one that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .estimate_values import Libraries
from .plan import executable_options, plan_of
from .plan_options import Option, combinations
from .plan_values import GIB, USABLE_SHARE, Backends, Machine, Part, Plan, Wishes

_UNLIMITED = Machine(2**60, 2**60)
_TENTH = GIB // 10
_LOSS_SHARE, _TIME_SHARE = 0.5, 0.9
"""Clearly better: it loses at most half as much, or, where nothing is lost, takes at most nine tenths of the time."""


@dataclass(frozen=True)
class Better:
    """A plan that does not fit, and what is short for it."""

    plan: Plan
    device: int
    """Bytes more that would have to be free on the card."""
    host: int
    """Bytes more of main memory."""
    changes: str
    """What it does otherwise than the plan that fits."""

    @property
    def text(self) -> str:
        """One clause: `with 3.1 GiB more on the card, transformer: fp8 instead of nf4`."""
        short = [f"{self.device / GIB:.1f} GiB more on the card"] if self.device else []
        short += [f"{self.host / GIB:.1f} GiB more main memory"] if self.host else []
        return f"with {' and '.join(short)}, {self.changes}"

    def to_json(self) -> dict[str, Any]:
        return {"device_bytes_more": self.device, "host_bytes_more": self.host, "text": self.text, "plan": self.plan.to_json()}


def next_better(
    parts: Sequence[Part], machine: Machine, plan: Plan, *, backends: Backends, wishes: Wishes, libraries: Libraries
) -> Better | None:
    """Of the plans that are clearly better than the one chosen for this machine, the one that is the least short of memory."""

    def short(option: Option) -> tuple[int, int]:
        device = int((option.between + option.excess) / USABLE_SHARE) - machine.device
        return max(0, device), max(0, option.kept + option.moved - machine.usable_host)

    found = combinations(executable_options(parts, backends, wishes, libraries), _UNLIMITED)
    wanted = [option for option in found if _is_better(option, plan) and any(short(option))]
    if not wanted:
        return None
    nearest = min(wanted, key=lambda option: (sum(short(option)), option.order()))
    other = plan_of(parts, nearest)
    device, host = short(nearest)
    return Better(other, _rounded_up(device), _rounded_up(host), _changes(plan, other))


def _rounded_up(size: int) -> int:
    """To the next tenth of a GiB, so that what is read as needed is enough."""
    return -(-size // _TENTH) * _TENTH


def _is_better(option: Option, plan: Plan) -> bool:
    if plan.quality_lost:
        return option.lost <= _LOSS_SHARE * plan.quality_lost
    return not option.lost and option.seconds <= _TIME_SHARE * plan.seconds


def _changes(old: Plan, new: Plan) -> str:
    """What the better plan is better by: what is held with less loss, else what is moved less; parts that change alike in one clause."""
    pairs = {name.replace("_", " "): (choice, new.choices[name]) for name, choice in old.choices.items() if choice != new.choices[name]}
    clauses = {
        name: f"{after.precision} instead of {before.precision}"
        for name, (before, after) in pairs.items()
        if before.precision != after.precision
    }
    clauses |= {
        name: "in one piece instead of tiles" for name, (before, after) in pairs.items() if before.tile is not None and after.tile is None
    }
    clauses = clauses or {name: f"{after.place} instead of {before.place}" for name, (before, after) in pairs.items()}
    alike: dict[str, list[str]] = {}
    for name, clause in clauses.items():
        alike.setdefault(clause, []).append(name)
    return "; ".join(f"{' and '.join(names)}: {clause}" for clause, names in alike.items())
