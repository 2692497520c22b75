"""What to make or use instead where nothing fits: less of the same, or a smaller model of the family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..loaders.registry import load_registry
from ..loaders.schema import Model
from .estimate_values import Workload
from .plan_values import Part
from .weights import weight_bytes


@dataclass(frozen=True)
class Nearest:
    """What would fit in place of what the graph asks for."""

    width: int
    height: int
    frames: int
    asked: Workload
    model: str = ""
    """The name of another model, whose usual size this is; empty: the graph's own."""

    def words(self) -> str:
        size = f"{self.width}x{self.height}"
        if self.model:
            return f"{self.model} fits, at {size}"
        if (self.width, self.height) == (self.asked.width, self.asked.height):
            return f"{self.frames} frames instead of {self.asked.frames}"
        frames = f" and {self.frames} frames" if self.frames < self.asked.frames else ""
        return f"{size}{frames} instead of {self.asked.width}x{self.asked.height}"

    def to_json(self) -> dict[str, Any]:
        asked = {"width": self.asked.width, "height": self.asked.height, "frames": self.asked.frames}
        return {"model": self.model, "width": self.width, "height": self.height, "frames": self.frames, "asked": asked}


def smaller(asked: Workload) -> list[Nearest]:
    """Less to make, from little less to much less."""
    result = [Nearest(asked.width, asked.height, frames, asked) for frames in (49, 33, 17) if frames < asked.frames]
    for share in (0.75, 0.5):
        width, height = (int(side * share) // 32 * 32 for side in (asked.width, asked.height))
        result.append(Nearest(width, height, min(asked.frames, 33), asked))
    return result


def resized(part: Part, size: Nearest) -> Part:
    """A part of the graph when it makes this size."""
    if part.kind not in ("denoiser", "vae"):
        return part
    stages = tuple(
        (stage, replace(own, width=size.width, height=size.height, frames=min(size.frames, own.frames))) for stage, own in part.stages
    )
    return replace(part, stages=stages)


def siblings(models: Sequence[Model]) -> list[Model]:
    """Smaller open models of the same architecture that do the same task, the largest first."""
    if not models or not models[0].tasks:
        return []
    model = models[0]
    others = load_registry().models_of(model.architecture, task=model.tasks[0])
    size = _weights_of(model)
    smaller = [other for other in others if other.id != model.id and _weights_of(other) < 0.8 * size]
    return sorted(smaller, key=_weights_of, reverse=True)


def _weights_of(model: Model) -> int:
    return sum(weight_bytes(entry.id, "bf16") for entry in model.entries.values() if entry.parameters)
