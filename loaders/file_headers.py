"""What a weight file says of itself before a weight is read: the tensors in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .file_memo import remembered
from .gguf_files import GGUF, gguf_shapes

Shape = tuple[int, ...]

SAFETENSORS = (".safetensors", ".sft")
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")

_LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no more."""


class BrokenFilesError(UserError):
    """Weight files are missing, cut short, or not what their name says."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file: its dtype as the format names it (`BF16`), its shape, and its bytes from the file's start."""

    dtype: str
    shape: Shape
    start: int
    end: int


def read_shapes(path: Path) -> dict[str, Shape]:
    """Name -> shape, as torch has it, of every tensor of a weight file.

    Raises UserError when the file is a pickle, is cut short or is not what its name says.
    """
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise UserError(
            f"{path.name} is a pickle, which can run code when it is opened; this pack reads safetensors and GGUF files: "
            "get the same weights in one of these."
        )
    return gguf_shapes(path) if suffix == GGUF else {name: tensor.shape for name, tensor in read_header(path).items()}


def read_header(path: Path, label: str = "") -> dict[str, Tensor]:
    """Every tensor of a safetensors file, whose length is that which its header tells.

    `label` is what the user knows the file as, by default its name. Raises BrokenFilesError when it is cut short or no such file.
    """
    label = label or path.name
    try:
        tensors = _header(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BrokenFilesError(f"{label} is not a whole safetensors file: download it again.") from error
    size, end = path.stat().st_size, max((tensor.end for tensor in tensors.values()), default=0)
    if end > size:
        raise BrokenFilesError(
            f"{label} is cut short: its header tells of {end / 1e9:.2f} GB, and {size / 1e9:.2f} GB are here. Download it again."
        )
    if end < size and tensors:
        raise BrokenFilesError(f"{label} is longer than its header tells: download it again.")
    return tensors


@remembered
def _header(path: Path) -> dict[str, Tensor]:
    """The format: 8 bytes with the header's length, the header, the tensors one after another."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(path.stat().st_size, _LARGEST_HEADER):
            raise ValueError
        entries = {name: entry for name, entry in json.loads(file.read(length)).items() if name != "__metadata__"}
    first = 8 + length
    return {
        name: Tensor(entry["dtype"], tuple(entry["shape"]), first + entry["data_offsets"][0], first + entry["data_offsets"][1])
        for name, entry in entries.items()
    }
