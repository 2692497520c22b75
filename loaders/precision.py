"""How weights are held, and what that means to torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from ..errors import UserError

if TYPE_CHECKING:
    import torch

    from .schema import ComponentEntry

Precision = Literal["auto", "bf16", "fp16", "fp32"]
"""`auto` is the compute dtype that the registry names for the component."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_TORCH_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def resolve_precision(choice: Precision, entry: ComponentEntry) -> Precision:
    """`auto` becomes the compute dtype of the component, where it has weights at all; anything unknown is refused."""
    if choice not in PRECISIONS:
        raise UserError(f"There is no precision '{choice}'; choose one of {', '.join(PRECISIONS)}.")
    return (entry.compute_dtype or "auto") if choice == "auto" else choice


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch dtype in which weights of this precision are held and computed."""
    import torch

    dtype = getattr(torch, _TORCH_NAMES[precision])
    assert isinstance(dtype, torch.dtype)
    return dtype
