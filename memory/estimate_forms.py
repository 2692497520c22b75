"""The closed forms of full-size models, read from `coefficients.json` (written by `tools/calibrate_memory.py`). No torch."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

COEFFICIENTS_FILE = Path(__file__).parent / "coefficients.json"


@dataclass(frozen=True)
class Form:
    """The peak of one stage of one class, held in one way."""

    names: tuple[str, ...]
    peaks: Mapping[str, Sequence[Sequence[float]]]
    """Rule for convolutions -> the sums of which the largest is the peak, as bytes for each feature."""
    ladder: Sequence[Sequence[int]]
    """(peak, what the allocator reserves, the least room in which it runs) at usual sizes, by peak."""
    error: float
    """Largest relative error at sizes that were simulated but not fitted."""

    def peak(self, values: Mapping[str, float], rule: str) -> int:
        """Bytes above the weights; the form without workspace where the class has no convolutions of that kind."""
        pieces = self.peaks.get(rule) or self.peaks["none"]
        row = [values[name] for name in self.names]
        return int(max(sum(c * v for c, v in zip(piece, row, strict=True)) for piece in pieces))

    def reserved(self, peak: int) -> int:
        """What the allocator reserves for a peak of this height: interpolated between the usual sizes that were replayed."""
        return max(peak, int(peak * self._ratio(peak, 1)))

    def minimum(self, peak: int) -> int:
        """The least room in which it runs."""
        return max(peak, int(peak * self._ratio(peak, 2)))

    def _ratio(self, peak: int, column: int) -> float:
        at = bisect_left(self.ladder, peak, key=lambda row: row[0])
        low, high = self.ladder[max(at - 1, 0)], self.ladder[min(at, len(self.ladder) - 1)]
        ratios = low[column] / low[0], high[column] / high[0]
        if high[0] <= low[0]:
            return ratios[0]
        part = min(max((peak - low[0]) / (high[0] - low[0]), 0.0), 1.0)
        return ratios[0] + part * (ratios[1] - ratios[0])


@dataclass(frozen=True)
class Weights:
    """Weights in one scheme, in bytes."""

    allocated: int
    reserved: int
    """What the allocator takes for them."""
    largest_block: int
    outside_blocks: int


@dataclass(frozen=True)
class Record:
    """What is known of one component."""

    weights: Mapping[str, Weights]
    forms: Mapping[str, Form]


def record_of(component_id: str) -> Record | None:
    """The record of a registry component; None when its class cannot be simulated."""
    document = _document()
    name = document["components"].get(component_id)
    return None if name is None else _record(name)


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(COEFFICIENTS_FILE.read_text(encoding="utf-8"))
    return document


@cache
def _record(name: str) -> Record:
    data = _document()["records"][name]
    forms = {}
    for key, form in data["forms"].items():
        # The allocator was replayed for one entry in the batch only.
        ladder = form["reserved"] or data["forms"][key.removesuffix("/batched")]["reserved"]
        forms[key] = Form(tuple(form["features"]), form["peaks"], sorted(ladder), form["error"])
    return Record({scheme: Weights(*numbers) for scheme, numbers in data["weights"].items()}, forms)
