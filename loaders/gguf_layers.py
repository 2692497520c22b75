"""Linear layers that hold a GGUF file's matrices as they are stored, mapped, and dequantise them whenever they compute.

Layer and dequantisation are diffusers' own (`diffusers.quantizers.gguf`), whose loader would guess the wrong config for many files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .quantise import has_name

if TYPE_CHECKING:
    from collections.abc import Collection

    import torch


def keeps(kind: Any) -> bool:
    """Whether matrices of this `gguf.GGMLQuantizationType` can stay as they are stored."""
    from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES

    # bfloat16 is no quantisation: torch computes with it as it is.
    return kind in SUPPORTED_GGUF_QUANT_TYPES and kind.name != "BF16"


def stored_matrix(data: Any, kind: Any, rows: int) -> torch.Tensor:
    """A matrix of bytes, (rows, bytes of a row), that knows its quantisation. Rows may be cut and joined like those of the numbers."""
    import torch
    from diffusers.quantizers.gguf.utils import GGUFParameter

    return GGUFParameter(torch.from_numpy(data).view(rows, -1), quant_type=kind)  # type: ignore[no-any-return]


def hold_stored(module: torch.nn.Module, tensors: dict[str, torch.Tensor], kept: Collection[str], dtype: torch.dtype) -> set[str]:
    """Put the stored matrices among `tensors` into layers of the module that compute in `dtype`, and take them out of `tensors`.

    Those of layers that are `kept` in float32, or are no Linear ones, are dequantised where they are. Returns the names of the others.
    Raises RuntimeError for a matrix of another shape.
    """
    stored: dict[str, Any] = {name: tensor for name, tensor in tensors.items() if hasattr(tensor, "quant_type")}
    if not stored:
        return set()
    import torch
    from diffusers.quantizers.gguf.utils import GGUFLinear, dequantize_gguf_tensor

    layers = dict(module.named_modules())
    held = set()
    for name, matrix in stored.items():
        path, _, part = name.rpartition(".")
        layer = layers.get(path)
        if type(layer) is not torch.nn.Linear or part != "weight" or has_name(name, kept):
            tensors[name] = dequantize_gguf_tensor(matrix)
            continue
        if matrix.quant_shape != (layer.out_features, layer.in_features):
            raise RuntimeError(f"size mismatch for {name}: {matrix.quant_shape} in the file")
        with torch.device("meta"):
            made = GGUFLinear(layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype)
        made.weight = tensors.pop(name)
        owner, _, child = path.rpartition(".")
        setattr(layers[owner], child, made)
        held.add(name)
    return held
