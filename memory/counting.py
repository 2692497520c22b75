"""Counting the parameters of a built module by the rules that `weights.py` turns into bytes."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .weights import NF4_BLOCK, ParameterCounts

if TYPE_CHECKING:
    import torch


def count_parameters(module: torch.nn.Module) -> ParameterCounts:
    """Count a module's parameters by what each precision does with them. The module may be on the meta device.

    Only the rules of the newest libraries are asked (see `LibraryRules` for what older ones do differently).
    """
    import torch

    casts = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)  # every convolution, transposed or not
    from_transformers = any(base.__module__.startswith("transformers.") for base in type(module).__mro__)
    kept = set(getattr(module, "_keep_in_fp32_modules", None) or [])
    unconverted = kept | (_unconverted(module) if from_transformers else set())
    skip_casting = _skip_casting(module, from_transformers)

    totals = dict.fromkeys(ParameterCounts.__dataclass_fields__, 0)
    for owner_name, owner, name, parameter in _parameters(module):
        size = parameter.numel()
        path = f"{owner_name}.{name}".lstrip(".")
        totals["parameters"] += size
        if _contains(path, kept):
            totals["kept_from_fp16" if from_transformers else "kept_in_fp32"] += size
        is_linear = isinstance(owner, torch.nn.Linear)
        if is_linear and name == "weight" and not _contains(owner_name, unconverted):
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


def _contains(path: str, names: set[str]) -> bool:
    """Whether a dotted path has one of the (dotted) names as whole components (both libraries match this way)."""
    return any(f".{name}." in f".{path}." for name in names)


def _skip_casting(module: torch.nn.Module, from_transformers: bool) -> list[re.Pattern[str]]:
    """Name patterns of modules that layerwise casting leaves alone (`ModelMixin.enable_layerwise_casting`)."""
    from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN

    patterns = list(DEFAULT_SKIP_MODULES_PATTERN)
    if not from_transformers:
        patterns += getattr(module, "_keep_in_fp32_modules", None) or []
        patterns += getattr(module, "_skip_layerwise_casting_patterns", None) or []
    return [re.compile(pattern) for pattern in patterns]


def _unconverted(module: torch.nn.Module) -> set[str]:
    """Modules that transformers does not let bitsandbytes convert: the output head and tied weights."""
    import transformers

    old = transformers.__version__.startswith("4.")
    home = "transformers.integrations.bitsandbytes" if old else "transformers.quantizers.base"
    return set(importlib.import_module(home).get_keys_to_not_convert(module))
