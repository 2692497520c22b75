"""Counting the parameters of a built module by the rules that `weights.py` turns into bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..loaders.quantise import has_name, is_of_transformers, kept_in_fp32, uncast_patterns, unconverted_modules
from .weights import NF4_BLOCK, ParameterCounts

if TYPE_CHECKING:
    import torch


def count_parameters(module: torch.nn.Module) -> ParameterCounts:
    """Count a module's parameters by what each precision does with them. The module may be on the meta device.

    Only the rules of the newest libraries are asked (see `LibraryRules` for what older ones do differently).
    """
    import torch

    casts = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)  # every convolution, transposed or not
    from_transformers = is_of_transformers(module)
    kept, unconverted = kept_in_fp32(module), unconverted_modules(module)
    skip_casting = [re.compile(pattern) for pattern in uncast_patterns(module)]

    totals = dict.fromkeys(ParameterCounts.__dataclass_fields__, 0)
    for owner_name, owner, name, parameter in _parameters(module):
        size = parameter.numel()
        path = f"{owner_name}.{name}".lstrip(".")
        totals["parameters"] += size
        if has_name(path, kept):
            totals["kept_from_fp16" if from_transformers else "kept_in_fp32"] += size
        is_linear = isinstance(owner, torch.nn.Linear)
        if is_linear and name == "weight" and not has_name(owner_name, unconverted):
            totals["linear_weights"] += size
            totals["linear_rows"] += parameter.shape[0]
            totals["linear_blocks"] += -(-size // NF4_BLOCK)
            totals["linear_layers"] += 1
        if not any(pattern.search(owner_name) for pattern in skip_casting):
            if isinstance(owner, casts):
                totals["castable"] += size
            elif isinstance(owner, torch.nn.Embedding):
                totals["castable_embeddings"] += size
    return ParameterCounts(**totals)


def _parameters(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, str, torch.nn.Parameter]]:
    """Name of the owner, the owner, the parameter's own name, the parameter; shared ones once."""
    seen: set[int] = set()
    for owner_name, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield owner_name, owner, name, parameter
