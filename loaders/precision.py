"""How weights are held, and what that means to torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, get_args

from ..errors import UserError
from .backends import PrecisionError as PrecisionError
from .backends import backend, check_gguf

if TYPE_CHECKING:
    import torch

    from .schema import ComponentEntry, Dtype

Precision = Literal["auto", "bf16", "fp16", "fp32", "fp8", "int8", "nf4", "gguf"]
"""`auto` is the compute dtype that the registry names for the component. fp8 is layerwise casting, int8 and nf4 are bitsandbytes'
(int8 torchao's where that cannot be had), gguf is what a transformer's GGUF file holds: `auto` becomes it where such a file is the
source."""

PRECISIONS: tuple[Precision, ...] = tuple(name for name in get_args(Precision) if name != "gguf")
"""What can be chosen."""
QUANTISED: tuple[Precision, ...] = ("fp8", "int8", "nf4", "gguf")
"""Held in fewer bits than they compute in, which is the component's compute dtype."""
PLAIN: tuple[Precision, ...] = tuple(name for name in PRECISIONS if name not in QUANTISED)

QUANTISED_ROLES = ("transformer", "unet", "text_encoder", "model")
"""What the roles of the networks begin with for which a quantised precision is meant. A VAE's convolutions gain nothing and show it."""

_TORCH_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def resolve_precision(choice: Precision, entry: ComponentEntry) -> Precision:
    """`auto` becomes the compute dtype of the component, where it has weights at all; anything unknown is refused."""
    if choice not in PRECISIONS:
        raise UserError(f"There is no precision '{choice}'; choose one of {', '.join(PRECISIONS)}.")
    return (entry.compute_dtype or "auto") if choice == "auto" else choice


def computing_precision(precision: Precision, entry: ComponentEntry) -> Dtype:
    """The dtype in which weights of this precision compute. A quantised component that is made for float32 computes in bfloat16."""
    if precision in QUANTISED or precision == "auto":
        return "fp16" if entry.compute_dtype == "fp16" else "bf16"
    return cast("Dtype", precision)


def torch_dtype(precision: Precision, entry: ComponentEntry) -> torch.dtype:
    """The same as torch's dtype."""
    import torch

    dtype = getattr(torch, _TORCH_NAMES[computing_precision(precision, entry)])
    assert isinstance(dtype, torch.dtype)
    return dtype


def check_precision(precision: Precision, device_type: str) -> None:
    """Refuse a precision whose backend is missing or that the device does not know, before anything is read.

    Args:
        device_type: torch's word for the computing device: `cuda`, `cpu`, `mps`, ...
    """
    if precision == "fp8" and device_type == "mps":
        raise PrecisionError("Apple's GPUs have no fp8 in torch: choose bf16.")
    if precision == "gguf":
        check_gguf()
    if precision in ("int8", "nf4"):
        backend(precision, device_type)
