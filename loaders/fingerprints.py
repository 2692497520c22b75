"""What files hold, told by a hash: the same for a copy, another for other weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from .file_headers import read_header
from .file_memo import remembered
from .file_tokenizers import vocabulary
from .gguf_files import GGUF
from .sources import ComponentFolder
from .weight_files import find_weight_files

_SAMPLE = 256
"""Bytes read from the middle of every tensor. Training changes every tensor that it touches throughout."""
_SPREAD = 2048
"""Samples of a GGUF file."""


def content_fingerprint(place: ComponentFolder) -> str:
    """A hash of a component's config, the names, dtypes and shapes of its tensors, and a sample of each one's numbers.

    Reads some hundred kilobytes whatever the size of the files. Raises BrokenFilesError as `find_weight_files` does.
    """
    digest = hashlib.sha256(_hash_files(place.folder, "config.json").encode())
    samples = {name: sample for path in find_weight_files(place) for name, sample in _samples(path).items()}
    # In the order of the names: the same weights in fewer files are the same weights.
    for name in sorted(samples):
        digest.update(samples[name])
    return digest.hexdigest()


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


@remembered
def _samples(path: Path) -> dict[str, bytes]:
    """Name of a tensor -> hash of what its sample is; a GGUF file is sampled as a whole, under its own hash."""
    with path.open("rb") as file:
        if path.suffix.lower() == GGUF:
            whole = hashlib.sha256(_spread_samples(file, path.stat().st_size))
            return {whole.hexdigest(): whole.digest()}
        samples = {}
        for name, tensor in read_header(path).items():
            file.seek(tensor.start + max(0, (tensor.end - tensor.start - _SAMPLE) // 2))
            sample = file.read(min(_SAMPLE, tensor.end - tensor.start))
            samples[name] = hashlib.sha256(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode() + sample).digest()
    return samples
