"""A loaded module into the state in which a quantised precision holds it, layer by layer and in place.

Which layers are converted follows the libraries that load quantised models (`unconverted_modules`, `uncast_patterns`), so that
`memory/weights.py` can say the bytes before anything is loaded.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from .backends import backend

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .precision import Precision

log = logging.getLogger(__name__)

OUTLIERS = 6.0
"""Inputs above this are multiplied in 16 bits beside the int8 product (LLM.int8, arXiv:2208.07339; the default of both libraries)."""
_LORA = "lora_"


def convert_linear(module: nn.Module, precision: Precision, dtype: torch.dtype, device: torch.device) -> None:
    """Replace Linear layers by bitsandbytes' int8 or nf4 ones, which compute in `dtype`, or hold their weights as torchao's int8.

    Each weight is quantised on `device` and comes back to the CPU, so that beside the result no more than one layer stands in memory.
    """
    unconverted = unconverted_modules(module)
    if backend(precision, device.type) == "torchao":
        log.warning("bitsandbytes cannot be used here: int8 is torchao's")
        _hold_by_torchao(module, unconverted)
        return
    for owner, name, path in list(_linear_layers(module)):
        if not has_name(path, unconverted):
            layer = getattr(owner, name)
            setattr(owner, name, _nf4(layer, dtype, device) if precision == "nf4" else _int8(layer, device))
    if is_of_transformers(module) and _is_transformers_4():
        # As transformers 4 holds T5's `wo` beside converted layers.
        kept = kept_in_fp32(module)
        for path, child in module.named_modules():
            if has_name(path, kept):
                child.float()


def cast_layerwise(module: nn.Module, dtype: torch.dtype) -> None:
    """Hold Linear and convolution weights in float8_e4m3fn and compute in `dtype` by diffusers' layerwise casting; not those of LoRAs."""
    import torch
    from diffusers.hooks.layerwise_casting import apply_layerwise_casting

    apply_layerwise_casting(
        module,
        storage_dtype=torch.float8_e4m3fn,
        compute_dtype=dtype,
        skip_modules_pattern=(*uncast_patterns(module), _LORA),
    )


def kept_in_fp32(module: nn.Module) -> set[str]:
    """Names of modules and parameters that the libraries keep out of every conversion (`_keep_in_fp32_modules`)."""
    return set(getattr(module, "_keep_in_fp32_modules", None) or [])


def unconverted_modules(module: nn.Module) -> set[str]:
    """Modules that bitsandbytes leaves alone: those kept in float32, and in transformers the output head and tied weights."""
    kept = kept_in_fp32(module)
    if not is_of_transformers(module):
        return kept
    home = "transformers.integrations.bitsandbytes" if _is_transformers_4() else "transformers.quantizers.base"
    return kept | set(importlib.import_module(home).get_keys_to_not_convert(module))


def uncast_patterns(module: nn.Module) -> tuple[str, ...]:
    """Patterns of the names of modules that layerwise casting leaves alone.

    For diffusers' models those of `ModelMixin.enable_layerwise_casting`. Models of transformers ask embeddings for their dtype, and T5
    its `wo`, so these keep it.
    """
    from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN

    if is_of_transformers(module):
        kept = [rf"(^|\.){re.escape(name)}(\.|$)" for name in sorted(kept_in_fp32(module))]
        return (*DEFAULT_SKIP_MODULES_PATTERN, "embed", r"(^|\.)shared$", *kept)
    own = getattr(module, "_skip_layerwise_casting_patterns", None) or []
    return (*DEFAULT_SKIP_MODULES_PATTERN, *sorted(kept_in_fp32(module)), *own)


def is_of_transformers(module: nn.Module) -> bool:
    """Whether the module is one of transformers, else of diffusers."""
    return any(base.__module__.startswith("transformers.") for base in type(module).__mro__)


def has_name(path: str, names: Collection[str]) -> bool:
    """Whether a dotted path has one of the (dotted) names as whole components, as both libraries match."""
    return any(f".{name}." in f".{path}." for name in names)


def _linear_layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Owner, the layer's name in it, the layer's whole name."""
    from torch import nn

    for owner_path, owner in module.named_modules():
        for name, child in owner.named_children():
            if isinstance(child, nn.Linear):
                yield owner, name, f"{owner_path}.{name}".lstrip(".")


def _nf4(layer: nn.Linear, dtype: torch.dtype, device: torch.device) -> Any:
    import torch

    layers = _layers()
    made = layers.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compute_dtype=dtype,
        compress_statistics=False,
        quant_type="nf4",
        device=torch.device("meta"),
    )
    weight = layers.Params4bit(
        layer.weight.data, requires_grad=False, compress_statistics=False, quant_type="nf4", blocksize=64, module=made
    )
    made.weight = weight.to(device).to(torch.device("cpu"))
    made.bias = layer.bias
    return made


def _hold_by_torchao(module: nn.Module, unconverted: Collection[str]) -> None:
    """Weights of one byte with a scale per output row, multiplied in the dtype of what comes in."""
    from torch import nn

    quantization = importlib.import_module("torchao.quantization")
    quantization.quantize_(
        module,
        quantization.Int8WeightOnlyConfig(),
        filter_fn=lambda layer, path: isinstance(layer, nn.Linear) and not has_name(path, unconverted),
    )


def _int8(layer: nn.Linear, device: torch.device) -> Any:
    import torch

    layers = _layers()
    made = layers.Linear8bitLt(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        has_fp16_weights=False,
        threshold=OUTLIERS,
        device=torch.device("meta"),
    )
    weight = layers.Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
    made.weight = weight.to(device).to(torch.device("cpu"))
    made.bias = layer.bias
    # Otherwise the first call would, and what was moved before it could not come back from the device.
    made.init_8bit_state()
    return made


def _is_transformers_4() -> bool:
    import transformers

    return bool(transformers.__version__.startswith("4."))


def _layers() -> Any:
    """bitsandbytes' layers, of which its types say too little."""
    return importlib.import_module("bitsandbytes.nn")
