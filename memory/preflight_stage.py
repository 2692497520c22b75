"""The stage of a plan that needs the most, taken apart for drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .plan_values import Part, Plan
from .weights import weight_bytes


def tightest_stage(plan: Plan, parts: Sequence[Part]) -> dict[str, Any] | None:
    """Stage, bytes, and the segments that they are the sum of; None for a plan without stages.

    Segments are the weights of each part on the device then (of the part that computes, and of those that stay), the activations with
    the workspace of the kernels, and the reserve.
    """
    if not plan.needs:
        return None
    need = plan.largest
    staying = {
        part.name: part.size or weight_bytes(part.component, plan.choices[part.name].precision)
        for part in parts
        if part.name != need.part and plan.choices[part.name].placement == "resident"
    }
    own = max(0, need.weights - sum(staying.values()))
    weights = [{"kind": "weights", "part": name, "bytes": size} for name, size in {need.part: own, **staying}.items()]
    rest = max(0, need.device - need.weights - need.activations)
    return {
        "stage": need.stage,
        "part": need.part,
        "bytes": need.device,
        "segments": [
            *weights,
            {"kind": "activations", "part": None, "bytes": need.activations},
            {"kind": "reserve", "part": None, "bytes": rest},
        ],
    }
