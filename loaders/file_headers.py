"""What a weight file says of itself before a weight is read: the name and shape of every tensor."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from .gguf_files import GGUF, gguf_shapes

Shape = tuple[int, ...]

SAFETENSORS = (".safetensors", ".sft")
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")

_LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no more."""


def read_shapes(path: Path) -> dict[str, Shape]:
    """Name -> shape, as torch has it, of every tensor of a weight file.

    Raises UserError when the file is a pickle, is cut short or is not what its name says.
    """
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _read(path: Path, size: int, _changed: int) -> dict[str, Shape]:
    """Size and time of change are part of the key, so that a replaced file is read again."""
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise UserError(
            f"{path.name} is a pickle, which can run code when it is opened; this pack reads safetensors and GGUF files: "
            "get the same weights in one of these."
        )
    return gguf_shapes(path) if suffix == GGUF else _safetensors(path, size)


def _safetensors(path: Path, size: int) -> dict[str, Shape]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(size, _LARGEST_HEADER):
                raise ValueError
            entries = {name: entry for name, entry in json.loads(file.read(length)).items() if name != "__metadata__"}
        shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
        end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name} is not a whole safetensors file: download it again.") from error
    if end > size:
        raise UserError(
            f"{path.name} is cut short: its header tells of {end / 1e9:.2f} GB, and {size / 1e9:.2f} GB are here. Download it again."
        )
    return shapes
