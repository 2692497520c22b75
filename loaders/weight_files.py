"""The safetensors files of one component, known from their headers alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .file_headers import BrokenFilesError as BrokenFilesError
from .file_headers import Tensor, read_header

if TYPE_CHECKING:
    from .sources import ComponentFolder

# The names that diffusers and transformers save under, in the order in which they look for them.
_STEMS = ("diffusion_pytorch_model", "model")
_VARIANTS = (None, "fp16")
"""diffusers' `variant`: what stands before the suffix where a repository holds its weights more than once, as that of SDXL."""
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")


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
        return (place.file,) if place.picture_half is None else (place.file, place.picture_half)
    for variant in _VARIANTS:
        if files := _files(place, variant):
            return files
    if any(next(place.folder.glob(pattern), None) for pattern in _PICKLES):
        raise BrokenFilesError(
            f"{place.label} holds only pickle weights, which can run code when opened; this pack reads safetensors only. "
            "Download the safetensors files of the same model."
        )
    raise BrokenFilesError(f"{place.label} holds no weights: the download did not finish. Download it again.")


def variant_of(place: ComponentFolder) -> str | None:
    """The `variant` under which `from_pretrained` finds the files of `find_weight_files`."""
    return None if place.file else next((variant for variant in _VARIANTS if _files(place, variant)), None)


def _files(place: ComponentFolder, variant: str | None) -> tuple[Path, ...]:
    middle = f".{variant}" if variant else ""
    for stem in _STEMS:
        # diffusers puts the variant before `.json`, transformers as well.
        index = place.folder / f"{stem}.safetensors.index{middle}.json"
        if index.is_file():
            return tuple(place.folder / name for name in _shards(index, place))
        single = place.folder / f"{stem}{middle}.safetensors"
        if single.is_file():
            return (single,)
    return ()


def fingerprint(files: tuple[Path, ...]) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file is replaced: (name, bytes, modification time in ns) of each."""
    return tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files)


def read_weight_files(place: ComponentFolder) -> WeightFiles:
    """Read the headers of a component's weight files.

    Raises BrokenFilesError as `find_weight_files`, and when a file is cut short or is not a safetensors file.
    """
    tensors: dict[str, Tensor] = {}
    files = find_weight_files(place)
    for path in files:
        tensors |= read_header(path, place.label if place.file else f"{place.label}/{path.name}")
    return WeightFiles(files, tensors)


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
