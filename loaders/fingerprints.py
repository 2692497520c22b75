"""What files hold, told by a hash: the same for a copy, another for other weights."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from .file_tokenizers import vocabulary
from .gguf_files import GGUF
from .sources import ComponentFolder
from .weight_files import find_weight_files, fingerprint

_SAMPLE = 256
"""Bytes read from the middle of every tensor. Training changes every tensor that it touches throughout."""
_SPREAD = 2048
"""Samples of a GGUF file."""


def content_fingerprint(place: ComponentFolder) -> str:
    """A hash of a component's config, the names, dtypes and shapes of its tensors, and a sample of each one's numbers.

    Reads some hundred kilobytes whatever the size of the files. Raises BrokenFilesError as `find_weight_files` does.
    """
    files = find_weight_files(place)
    return _content(files, fingerprint(files), _hash_files(place.folder, "config.json"))


def companion_fingerprint(place: ComponentFolder) -> str:
    """A hash of the small files of a tokenizer or processor, or of the tokenizer that a file carries."""
    if place.file is not None:
        return hashlib.sha256(vocabulary(place.file)).hexdigest()
    return _hash_files(place.folder, "*.json", "*.txt", "*.model", "*.jinja", without="*.index.json")


def _hash_files(folder: Path, *patterns: str, without: str = "") -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        if not (without and path.match(without)):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _spread_samples(file: BinaryIO, size: int) -> bytes:
    """Samples all over a file that no safetensors header describes."""
    parts = [str(size).encode()]
    for start in range(0, size, max(1, size // _SPREAD)):
        file.seek(start)
        parts.append(file.read(_SAMPLE))
    return b"".join(parts)


@lru_cache(maxsize=64)
def _content(files: tuple[Path, ...], state: object, config: str) -> str:
    """`state` is not read: it makes the remembered answer good for these very files alone."""
    digest = hashlib.sha256(config.encode())
    samples: dict[str, bytes] = {}
    for path in files:
        with path.open("rb") as file:
            if path.suffix.lower() == GGUF:
                digest.update(_spread_samples(file, path.stat().st_size))
                continue
            # The layout of a safetensors file: 8 bytes with the header's length, the header, the tensors one after another.
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            for name, tensor in header.items():
                if name == "__metadata__":
                    continue
                start, end = tensor["data_offsets"]
                file.seek(8 + length + start + max(0, (end - start - _SAMPLE) // 2))
                sample = file.read(min(_SAMPLE, end - start))
                samples[name] = f"{name} {tensor['dtype']} {tensor['shape']} ".encode() + sample
    # In the order of the names: the same weights in fewer files are the same weights.
    for name in sorted(samples):
        digest.update(samples[name])
    return digest.hexdigest()
