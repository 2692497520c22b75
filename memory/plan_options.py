"""Combining choices for the parts of a graph: what a combination adds up to, and which combinations a machine could want."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .estimate_values import Stage
from .plan_values import Choice, Machine

_MISSING_COST = 0.03
"""Of plans that take what is not there, those that take less of it come first when they are about as good."""


@dataclass(frozen=True)
class Figures:
    """One part under one choice."""

    choice: Choice
    between: int
    """Bytes on the device while others compute."""
    stages: tuple[tuple[Stage, int, int, int], ...]
    """(stage, weights on the device, least activations, reserve)."""
    host_kept: int
    """Bytes in main memory throughout: streamed from there, or computed there."""
    host_moved: int
    """Bytes in main memory on the way to the card, where the file's weights have to be converted; otherwise they are mapped from it."""
    seconds: float
    lost: float
    missing: tuple[str, ...]


class Option(NamedTuple):
    """Choices for some parts: the sums and maxima that a plan adds up."""

    members: tuple[tuple[str, Figures], ...]
    """By the part's name."""
    between: int
    excess: int
    """The most that a stage of theirs takes beyond what they have on the device between stages."""
    kept: int
    moved: int
    seconds: float
    lost: float
    missing: frozenset[str]

    @classmethod
    def of(cls, members: Mapping[str, Figures]) -> Option:
        every = members.values()
        return cls(
            tuple(members.items()),
            between=sum(figures.between for figures in every),
            excess=max((sum(stage[1:]) - figures.between for figures in every for stage in figures.stages), default=0),
            kept=sum(figures.host_kept for figures in every),
            moved=max(figures.host_moved for figures in every),
            seconds=sum(figures.seconds for figures in every),
            lost=sum(figures.lost for figures in every),
            missing=frozenset(name for figures in every for name in figures.missing),
        )

    def order(self) -> tuple[bool, float]:
        """What can be executed first, then by time, made worse by what is lost and by what is missing."""
        return bool(self.missing), self.seconds * (1 + 3 * self.lost) * (1 + _MISSING_COST * len(self.missing))

    def no_worse_than(self, other: Option) -> bool:
        """Whether whatever fits with `other` fits with this, at no more cost."""
        return (
            self.seconds <= other.seconds
            and self.lost <= other.lost
            and self.between <= other.between
            and self.excess + self.between <= other.excess + other.between
            and self.excess <= other.excess
            and self.kept <= other.kept
            and self.moved <= other.moved
            and self.missing <= other.missing
        )


def combinations(options: Sequence[Sequence[Option]], machine: Machine) -> list[Option]:
    """Every choice for all groups that fits the machine, but for those that are worse in every respect."""
    usable, usable_host = machine.usable, machine.usable_host
    combined = [Option((), 0, 0, 0, 0, 0.0, 0.0, frozenset())]
    # The largest group last: what is dropped before need not be combined with it.
    for group in sorted(options, key=len):
        joined = []
        for one in combined if len(combined) == 1 else worthwhile(combined):
            for other in group:
                between, kept = one.between + other.between, one.kept + other.kept
                excess, moved = max(one.excess, other.excess), max(one.moved, other.moved)
                if between + excess <= usable and kept + moved <= usable_host:
                    seconds, lost, missing = one.seconds + other.seconds, one.lost + other.lost, one.missing | other.missing
                    joined.append(Option(one.members + other.members, between, excess, kept, moved, seconds, lost, missing))
        combined = joined
    return combined


def worthwhile(options: Iterable[Option]) -> list[Option]:
    """The options that some machine could want: none is worse in every respect than one that is kept."""
    kept: list[Option] = []
    # In this order no option can be better than an earlier one in every respect.
    for option in sorted(
        options, key=lambda option: (option.seconds, option.lost, option.between, option.excess, option.kept, option.moved)
    ):
        if not any(other.no_worse_than(option) for other in kept):
            kept.append(option)
    return kept
