"""The safetensors files of one component, known from their headers alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from .sources import ComponentFolder

_INDEX_SUFFIX = ".safetensors.index.json"
# The names that diffusers and transformers save under, in the order in which they look for them.
_STEMS = ("diffusion_pytorch_model", "model")
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")


class BrokenFilesError(UserError):
    """Weight files are missing, cut short, or not what their name says."""


@dataclass(frozen=True)
class Tensor:
    """One stored tensor: its safetensors dtype name (`BF16`) and shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class WeightFiles:
    """The files that make up a component's weights, and every tensor in them."""

    files: tuple[Path, ...]
    tensors: dict[str, Tensor]

    @property
    def byte_count(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def parameter_count(self) -> int:
        """Numbers stored, whatever their dtype."""
        total = 0
        for tensor in self.tensors.values():
            size = 1
            for side in tensor.shape:
                size *= side
            total += size
        return total


def find_weight_files(place: ComponentFolder) -> tuple[Path, ...]:
    """The weight files of a component, without opening them.

    Raises BrokenFilesError when there are none, when a shard that the index names is missing, and when only pickle files are there.
    """
    if place.file is not None:
        return (place.file,)
    for stem in _STEMS:
        index = place.folder / f"{stem}{_INDEX_SUFFIX}"
        if index.is_file():
            return tuple(place.folder / name for name in _shards(index, place))
        single = place.folder / f"{stem}.safetensors"
        if single.is_file():
            return (single,)
    if any(next(place.folder.glob(pattern), None) for pattern in _PICKLES):
        raise BrokenFilesError(
            f"{place.label} holds only pickle weights, which can run code when opened; this pack reads safetensors only. "
            "Download the safetensors files of the same model."
        )
    raise BrokenFilesError(f"{place.label} holds no weights: the download did not finish. Download it again.")


def fingerprint(files: tuple[Path, ...]) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file is replaced: (name, bytes, modification time in ns) of each."""
    return tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files)


def read_weight_files(place: ComponentFolder) -> WeightFiles:
    """Read the headers of a component's weight files.

    Raises BrokenFilesError as `find_weight_files`, and when a file is cut short or is not a safetensors file.
    """
    from safetensors import SafetensorError

    tensors: dict[str, Tensor] = {}
    files = find_weight_files(place)
    for path in files:
        try:
            stat = path.stat()
            tensors |= _header(path, stat.st_size, stat.st_mtime_ns)
        except (SafetensorError, OSError) as error:
            label = place.label if place.file else f"{place.label}/{path.name}"
            raise BrokenFilesError(f"{label} is damaged or was not downloaded to its end ({error}): download it again.") from error
    return WeightFiles(files, tensors)


@lru_cache(maxsize=256)
def _header(path: Path, _size: int, _changed: int) -> dict[str, Tensor]:
    """Every tensor of a file. Size and time of change are part of the key, so that a replaced file is read again."""
    from safetensors import safe_open

    # Opening checks that the header is whole and that the file is as long as the header says.
    with safe_open(path, framework="numpy") as file:
        parts = ((name, file.get_slice(name)) for name in file.keys())  # noqa: SIM118 - a handle, not a mapping
        return {name: Tensor(part.get_dtype(), tuple(part.get_shape())) for name, part in parts}


def _shards(index: Path, place: ComponentFolder) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BrokenFilesError(f"{place.label}/{index.name} cannot be read: download it again.") from error
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise BrokenFilesError(
            f"{place.label} lacks {len(missing)} of its {len(names)} weight files ({', '.join(missing)}): "
            "the download did not finish. Download it again."
        )
    return names
