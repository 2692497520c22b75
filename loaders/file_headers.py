"""What a weight file says of itself before a weight is read: the name, dtype and shape of every tensor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import UserError

Shape = tuple[int, ...]

SAFETENSORS = (".safetensors", ".sft")
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")

_LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no more."""


@dataclass(frozen=True)
class Header:
    """Shapes as torch has them, outermost side first."""

    shapes: dict[str, Shape]
    dtypes: dict[str, str]
    """By tensor, as the format calls it: `BF16`, `F8_E4M3`, `Q4_K`."""


def read_header(path: Path) -> Header:
    """The header of a weight file. Raises UserError when the file is a pickle, is cut short or is not what its name says."""
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _read(path: Path, size: int, changed: int) -> Header:
    """Size and time of change are part of the key, so that a replaced file is read again."""
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise UserError(
            f"{path.name} is a pickle, which can run code when it is opened; this pack reads safetensors and GGUF files: "
            "get the same weights in one of these."
        )
    return _safetensors(path, size)


def _safetensors(path: Path, size: int) -> Header:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(size, _LARGEST_HEADER):
                raise ValueError
            entries = {name: entry for name, entry in json.loads(file.read(length)).items() if name != "__metadata__"}
        header = Header(
            {name: tuple(entry["shape"]) for name, entry in entries.items()}, {name: entry["dtype"] for name, entry in entries.items()}
        )
        end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name} is not a whole safetensors file: download it again.") from error
    if end > size:
        raise UserError(
            f"{path.name} is cut short: its header tells of {end / 1e9:.2f} GB, and {size / 1e9:.2f} GB are here. Download it again."
        )
    return header
