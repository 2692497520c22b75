"""What to make or use instead where nothing fits: less of the same, or a smaller model of the family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..loaders.registry import load_registry
from ..loaders.schema import Model
from .estimate_values import Workload
from .plan_values import Part
from .weights import weight_bytes


def smaller(work: Workload) -> list[tuple[Workload, str]]:
    """Less to make, from little less to much less, in words."""
    result = []
    for frames in (49, 33, 17):
        if frames < work.frames:
            result.append((replace(work, frames=frames), f"{frames} frames instead of {work.frames}"))
    for share in (0.75, 0.5):
        width, height = (int(side * share) // 32 * 32 for side in (work.width, work.height))
        frames = min(work.frames, 33)
        extra = f" and {frames} frames" if frames < work.frames else ""
        result.append(
            (replace(work, width=width, height=height, frames=frames), f"{width}x{height}{extra} instead of {work.width}x{work.height}")
        )
    return result


def resized(part: Part, work: Workload) -> Part:
    """A part of the graph when it makes this size."""
    if part.kind not in ("denoiser", "vae"):
        return part
    stages = tuple((stage, replace(own, width=work.width, height=work.height, frames=work.frames)) for stage, own in part.stages)
    return replace(part, stages=stages)


def siblings(models: Sequence[Model]) -> list[Model]:
    """Smaller open models of the same architecture that do the same task, the largest first."""
    if not models or not models[0].tasks:
        return []
    model = models[0]
    others = load_registry().models_of(model.architecture, task=model.tasks[0])
    size = _weights_of(model)
    smaller = [other for other in others if other.id != model.id and _weights_of(other) < 0.8 * size and other.defaults.width]
    return sorted(smaller, key=_weights_of, reverse=True)


def _weights_of(model: Model) -> int:
    return sum(weight_bytes(entry.id, "bf16") for entry in model.entries.values() if entry.parameters)
