"""Text encoders that are one safetensors file of ComfyUI's `text_encoders` folder, told apart by the shapes in its header alone."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .folder_files import safetensors_files

if TYPE_CHECKING:
    import torch

    from .schema import ComponentEntry

FILES_KIND = "text_encoders"
_PREFIX = f"{FILES_KIND}/"
_LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no more."""

# class -> (names that files give the token embedding, config fields of its shape). The vocabulary tells T5 from UMT5.
_EMBEDDINGS = {
    "T5EncoderModel": (("shared.weight", "encoder.embed_tokens.weight"), ("vocab_size", "d_model")),
    "UMT5EncoderModel": (("shared.weight", "encoder.embed_tokens.weight"), ("vocab_size", "d_model")),
    "CLIPTextModel": (("text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight"), ("vocab_size", "hidden_size")),
}


def is_file_source(source: str) -> bool:
    """Whether a component's source names a single file rather than a folder."""
    return source.startswith(_PREFIX) and source.endswith(".safetensors")


def file_sources() -> list[str]:
    """The files that the user has, as sources for a loader's menu. Lists folders and opens nothing."""
    return sorted((_PREFIX + name for name in safetensors_files(FILES_KIND)), key=str.lower)


def find_file(source: str) -> Path:
    """The file of a source. Raises UserError when none of the folders lists it, which is so for every name that leads out of them."""
    path = safetensors_files(FILES_KIND).get(source.removeprefix(_PREFIX))
    if path is None:
        raise UserError(f"There is no file models/{source}: choose another source, or 'auto'.")
    return path


def holds(path: Path, entry: ComponentEntry, config: dict[str, Any]) -> bool:
    """Whether the file's token embedding has the name and shape that the component's class has with this config."""
    if entry.class_name not in _EMBEDDINGS:
        return False
    names, fields = _EMBEDDINGS[entry.class_name]
    stat = path.stat()
    shapes = _shapes(path, stat.st_size, stat.st_mtime_ns)
    wanted = tuple(config.get(field) for field in fields)
    return any(shapes.get(name) == wanted for name in names)


def read_tensors(path: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The file's tensors, mapped where they are stored as they are used; scaled fp8 weights times their scale, in `dtype`.

    ComfyUI's two spellings are known: `X.scale_weight` beside `scaled_fp8`, and `X.weight_scale` beside `X.comfy_quant`. Both hold one
    factor for the whole of `X.weight`. Raises UserError for its other quantised formats.
    """
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    for spelling in ("scale_weight", "weight_scale"):
        for name in [name for name in tensors if name.endswith(f".{spelling}")]:
            scale, weight = tensors.pop(name), name.removesuffix(spelling) + "weight"
            stored = tensors.get(weight)
            if stored is None or scale.numel() != 1 or stored.dtype not in (torch.float8_e4m3fn, torch.float8_e5m2):
                raise UserError(f"{path.name} is quantised in another way than fp8 with one scale a weight: choose a bf16 or fp8 file.")
            tensors[weight] = (stored.float() * scale.float()).to(dtype)
    aside = ("scaled_fp8", "scale_input", "input_scale", "comfy_quant", "spiece_model")
    return {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[2] not in aside}


@lru_cache(maxsize=256)
def _shapes(path: Path, size: int, changed: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor; size and time of change are part of the key, so that a replaced file is read again."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length <= min(size, _LARGEST_HEADER) else {}
            return {name: tuple(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name} is not a whole safetensors file: download it again.") from error
