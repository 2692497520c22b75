"""Where weights are between and during use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from ..errors import UserError
from ..host.streaming import stream

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .precision import Precision

Placement = Literal["offload_model", "resident", "offload_group"]
"""`offload_model`: on the device while it is used. `resident`: it stays there. `offload_group`: its blocks come to the device one after the
other as they compute, but for the first ones, which stay with the rest of it."""

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)


def check_placement(placement: Placement, precision: Precision) -> None:
    """Refuse what does not exist, and streaming of bitsandbytes' weights, whose scales would stay behind."""
    if placement not in PLACEMENTS:
        raise UserError(f"There is no placement '{placement}'; choose one of {', '.join(PLACEMENTS)}.")
    if placement == "offload_group" and precision in ("int8", "nf4"):
        raise UserError(f"Weights held as {precision} cannot be streamed by blocks: choose bf16 or fp8, or another placement.")


def stream_blocks(module: nn.Module, resident_blocks: int, device: torch.device) -> None:
    """Have the blocks of a module come to `device` when they compute, all but the first ones. It cannot be undone on a live module."""
    stream(module, repeated_blocks(module)[resident_blocks:], device)


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks that a network repeats, in order: what its outermost lists of modules hold."""
    from torch.nn import ModuleList

    return [
        block
        for child in module.children()
        for block in (list(child) if isinstance(child, ModuleList) and len(child) > 1 else repeated_blocks(child))
    ]
