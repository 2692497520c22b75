"""The tensors of a single file as the numbers that they stand for, under the names that belong to the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from .eight_bit import is_eight_bit, widened
from .file_layouts import own_names
from .gguf_files import GGUF, read_gguf

if TYPE_CHECKING:
    from pathlib import Path

    import torch

_SCALES = ("scale_weight", "weight_scale")
"""ComfyUI's two spellings: `X.scale_weight` beside `scaled_fp8`, `X.weight_scale` beside `X.comfy_quant`."""
_ASIDE = ("scaled_fp8", "scale_input", "input_scale", "comfy_quant", "spiece_model", "__index_timestep_zero__")
"""Tensors that are no weights: marks, scales of inputs for kernels in fp8, a tokenizer."""


def read_tensors(path: Path, dtype: torch.dtype, *, as_stored: bool = False) -> dict[str, torch.Tensor]:
    """The file's tensors, mapped where they are stored as they are used; fp8 weights in `dtype`, times their scale where they have one.

    A scale is one factor for the whole of `X.weight`. With `as_stored` a GGUF file's matrices stay quantised. Raises UserError for
    ComfyUI's other quantised formats, and as `read_gguf`.
    """
    from safetensors.torch import load_file

    stored = read_gguf(path, dtype, as_stored=as_stored) if path.suffix.lower() == GGUF else load_file(path)
    tensors = {own: stored[name] for name, own in own_names(list(stored)).items()}
    stored.clear()
    tensors = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[2] not in _ASIDE}
    _multiply_scales(tensors, path.name, dtype)
    for name, tensor in tensors.items():
        if is_eight_bit(tensor):
            tensors[name] = widened(tensor, dtype)
    return tensors


def _multiply_scales(tensors: dict[str, torch.Tensor], file: str, dtype: torch.dtype) -> None:
    for spelling in _SCALES:
        for name in [name for name in tensors if name.endswith(f".{spelling}")]:
            scale, weight = tensors.pop(name), name.removesuffix(spelling) + "weight"
            eight = tensors.get(weight)
            if eight is None or scale.numel() != 1 or not is_eight_bit(eight):
                raise UserError(f"{file} is quantised in another way than fp8 with one scale a weight: choose a bf16 or fp8 file.")
            tensors[weight] = widened(eight, dtype, float(scale))
