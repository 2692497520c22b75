"""Quantised layers on the meta device: they hold what the real ones hold, and allocate the same temporaries when they run.

Sources: bitsandbytes 0.45 to 0.50 (`MatMul4Bit` dequantises the weight; `int8_linear_matmul` and its outlier pass), diffusers'
layerwise casting, which is applied itself, because it works on any device.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

from ..loaders.quantise import cast_layerwise, has_name, is_of_transformers, kept_in_fp32, unconverted_modules
from .weights import NF4_BLOCK

Scheme = Literal["half", "fp32", "fp8", "int8", "nf4"]
SCHEMES: tuple[Scheme, ...] = ("half", "fp32", "fp8", "int8", "nf4")
COMPUTE = torch.bfloat16
_TABLE = 16
"""Entries of nf4's table."""


class _Linear4Bit(nn.Module):
    """bitsandbytes' 4-bit layer: the weight is dequantised whole for each call."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        count = layer.in_features * layer.out_features
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        # Callers ask a layer's weight for its dtype: it stands for that alone.
        self.weight = _stand_in(layer)
        self.packed = nn.Buffer(_empty(-(-count // 2), dtype=torch.uint8))
        self.scales = nn.Buffer(_empty(-(-count // NF4_BLOCK), dtype=torch.float32))
        self.table = nn.Buffer(_empty(_TABLE, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, x.new_empty(self.out_features, self.in_features), self.bias)


class _Linear8Bit(nn.Module):
    """bitsandbytes' 8-bit layer: the input is quantised row by row, the product is int32, and outliers are looked for in float16."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        self.weight = _stand_in(layer)
        self.packed = nn.Buffer(_empty(layer.out_features, layer.in_features, dtype=torch.int8))
        self.scales = nn.Buffer(_empty(layer.out_features, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self.in_features).to(torch.float16)
        _scales = rows.new_empty(rows.shape[0], dtype=torch.float32)
        _quantised = rows.new_empty(rows.shape, dtype=torch.int8)
        _outliers = (rows.abs() >= 6.0).any(dim=0)
        del rows
        _product = x.new_empty((_quantised.shape[0], self.out_features), dtype=torch.int32)
        half = x.new_empty((_quantised.shape[0], self.out_features), dtype=torch.float16)
        del _product
        return half.to(x.dtype).reshape(*x.shape[:-1], self.out_features)


def apply_scheme(module: nn.Module, scheme: Scheme) -> nn.Module:
    """Bring a float32 module on the meta device into the state in which a precision holds it, by the rules of `loaders/quantise.py`."""
    if scheme == "fp32":
        return module
    # Of nn.Module: diffusers' own `to` warns that some modules should stay float32, which the next lines see to.
    nn.Module.to(module, COMPUTE)
    for name, parameter in module.named_parameters():
        if not is_of_transformers(module) and has_name(name, kept_in_fp32(module)):
            parameter.data = parameter.data.float()
    if scheme == "fp8":
        cast_layerwise(module, COMPUTE)
    if scheme in ("nf4", "int8"):
        kind = _Linear4Bit if scheme == "nf4" else _Linear8Bit
        unconverted = unconverted_modules(module)
        for owner_name, owner in list(module.named_modules()):
            for name, child in list(owner.named_children()):
                if isinstance(child, nn.Linear) and not has_name(f"{owner_name}.{name}".lstrip("."), unconverted):
                    setattr(owner, name, kind(child))
    return module


def _stand_in(layer: nn.Linear) -> nn.Parameter:
    return nn.Parameter(_empty(0, dtype=layer.weight.dtype), requires_grad=False)


def _empty(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")
