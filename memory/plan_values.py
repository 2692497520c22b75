"""The planner's vocabulary: parts of a graph, what the loaders can do with them, machines, plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .estimate import Placement
from .estimate_values import Stage, Workload
from .weights import WEIGHT_PRECISIONS, WeightPrecision

GIB = 2**30

Kind = Literal["denoiser", "text_encoder", "image_encoder", "vae", "language_model"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)

USABLE_SHARE = 0.97
"""Part of the device's free memory that a plan may fill: readings and segments are never exact."""
CARD_SHARE = 0.985
"""What a card sold as so many GB offers, in GiB (a 24 GB card has 24 564 MiB)."""
HOST_OVERHEAD = 10 * GIB
"""Main memory for the system, ComfyUI and its libraries, pictures: what plans may not count on."""

# What bitsandbytes and offloading cannot do together: its int8 modules do not move between devices, and neither of its formats streams.
_IMMOVABLE: frozenset[WeightPrecision] = frozenset({"int8"})
_UNSTREAMABLE: frozenset[WeightPrecision] = frozenset({"int8", "nf4"})
_HALF: frozenset[WeightPrecision] = frozenset({"bf16", "fp16", "fp32"})


def compatible(precision: WeightPrecision, placement: Placement) -> bool:
    """Whether weights held in this precision can be placed so."""
    if placement == "cpu":
        return precision in _HALF
    if placement == "offload_group":
        return precision not in _UNSTREAMABLE
    return placement == "resident" or precision not in _IMMOVABLE


@dataclass(frozen=True)
class Part:
    """One component of a graph."""

    name: str
    """Unique within the graph: the role, or the node and role."""
    component: str
    kind: Kind
    stages: tuple[tuple[Stage, Workload], ...]
    """The stages in which it computes, and what it computes there."""
    precision: WeightPrecision
    """As the graph has it."""
    on_cpu: bool = False
    tiled: bool = False
    runs: int = 1
    """How often it computes in one run: denoising steps, times two with guidance."""
    can_tile: bool = False
    """Whether the pack works on tiles with this VAE."""
    size: int | None = None
    """Bytes of the weights, where the file says otherwise than the precision (mixed files)."""
    beside: int = 0
    """Bytes that lie beside the weights in any precision: LoRAs."""
    chosen: bool = False
    """Whether the loader names the precision, rather than leaving it open."""

    @property
    def workload(self) -> Workload:
        """What it computes in its first stage."""
        return self.stages[0][1]


@dataclass(frozen=True)
class Choice:
    """How one part is held, and where."""

    precision: WeightPrecision
    placement: Placement
    tile: int | None = None
    resident_blocks: int = 0
    """Of a part that is streamed: how many blocks stay on the device."""

    @property
    def place(self) -> str:
        """Where it is, and in which pieces it computes, in words."""
        words = {
            "resident": "stays on the card",
            "offload_model": "on the card while it is used",
            "offload_group": "streamed by blocks" + (f", the first {self.resident_blocks} stay" if self.resident_blocks else ""),
            "cpu": "on the CPU",
        }
        tiles = "" if self.tile is None else f", in tiles{f' of {self.tile} pixels' if self.tile else ''}"
        return f"{words[self.placement]}{tiles}"

    def describe(self) -> str:
        return f"{self.precision}, {self.place}"


@dataclass(frozen=True)
class Backends:
    """What can be executed. The planner knows more than the loaders do; a plan names what of it is missing."""

    precisions: frozenset[str]
    placements: frozenset[str]
    tiles: bool = True

    @classmethod
    def of_the_loaders(cls) -> Backends:
        """What this pack's loaders and store can do now, asked of themselves."""
        from ..loaders.component import DEVICES
        from ..loaders.placement import PLACEMENTS as OF_THE_STORE
        from ..loaders.precision import PRECISIONS

        placements = frozenset(OF_THE_STORE) | (frozenset({"cpu"}) & frozenset(DEVICES))
        return cls(frozenset(PRECISIONS) & frozenset(WEIGHT_PRECISIONS), placements)

    @classmethod
    def of_comfyui(cls) -> Backends:
        """What ComfyUI's own loaders do by themselves: files as they are, fp8 by choice, streaming of what does not fit."""
        return cls(frozenset({"bf16", "fp16", "fp32", "fp8"}), frozenset({"resident", "offload_model", "offload_group", "cpu"}))

    def missing(self, choice: Choice, part: Part) -> list[str]:
        """What a choice takes that is not there."""
        result: list[str] = []
        if choice.precision not in self.precisions and choice.precision != part.precision:
            result.append(choice.precision)
        if choice.placement not in self.placements:
            result.append(choice.placement)
        if choice.tile is not None and not part.can_tile:
            result.append(f"tiles for the {part.name}")
        return result


@dataclass(frozen=True)
class Machine:
    """What there is to work with, in bytes."""

    device: int
    host: int

    @classmethod
    def of(cls, vram_gb: float, ram_gb: float) -> Machine:
        """A card and main memory of so many GB, as they are sold."""
        return cls(int(vram_gb * CARD_SHARE * GIB), int(ram_gb * GIB))

    @property
    def usable(self) -> int:
        return int(self.device * USABLE_SHARE)

    @property
    def usable_host(self) -> int:
        return max(0, self.host - HOST_OVERHEAD)


@dataclass(frozen=True)
class StageNeed:
    """The peak of one stage under a plan, in bytes."""

    stage: Stage
    part: str
    device: int
    weights: int
    """Of all parts that are on the device then."""
    activations: int


@dataclass(frozen=True)
class Plan:
    """A choice for every part, and what follows from it."""

    choices: Mapping[str, Choice]
    needs: tuple[StageNeed, ...]
    host: int
    """Bytes of main memory at once. Weights that are mapped from their files do not count: the system takes such pages back."""
    seconds: float
    """Modelled, only to order plans: no card was measured."""
    quality_lost: float
    missing: tuple[str, ...] = ()
    """What the plan takes that cannot be executed here."""

    @property
    def peak(self) -> int:
        return max((need.device for need in self.needs), default=0)

    @property
    def largest(self) -> StageNeed:
        return max(self.needs, key=lambda need: need.device)

    @property
    def cost(self) -> float:
        """Time, made worse by what the pictures lose."""
        return self.seconds * (1 + 3 * self.quality_lost)

    def to_json(self) -> dict[str, Any]:
        return {
            "choices": {name: {**vars(choice), "text": choice.describe()} for name, choice in self.choices.items()},
            "stages": [vars(need) for need in self.needs],
            "peak_bytes": self.peak,
            "host_bytes": self.host,
            "modelled_seconds": round(self.seconds, 1),
            "quality_lost": round(self.quality_lost, 4),
            "missing": list(self.missing),
        }


@dataclass(frozen=True)
class Pin:
    """What the user insists on for one part; None is left to the planner."""

    precision: WeightPrecision | None = None
    placement: Placement | None = None

    def allows(self, choice: Choice) -> bool:
        return self.precision in (None, choice.precision) and self.placement in (None, choice.placement)


@dataclass(frozen=True)
class Wishes:
    """What the user will not have, and what the user insists on."""

    forbid_quantisation: bool = False
    pinned: Mapping[str, Pin] = field(default_factory=dict)
    """By the part's name."""
