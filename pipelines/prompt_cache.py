"""Encoded prompts on disk: an unchanged prompt does not load its text encoder again, not even after a restart.

One safetensors file a prompt, below the host's user folder, named by a hash of everything that the result depends on; the text of
the prompt is not in it. `ADVANCED_MODELS_PROMPT_CACHE_MB` sets how large the folder may grow; 0 turns the cache off.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import host
from ..errors import UserError
from ..loaders.fingerprints import companion_fingerprint, content_fingerprint
from ..loaders.sources import MissingFilesError, locate
from ..loaders.store import STORE

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component

log = logging.getLogger(__name__)

SIZE_VARIABLE = "ADVANCED_MODELS_PROMPT_CACHE_MB"
DEFAULT_MEGABYTES = 2048
"""About 500 prompts of FLUX (512 tokens of 4096 numbers in bf16 are 4.2 MB), several thousand of Qwen-Image."""
FOLDER = "prompt_cache"

_FORMAT = 1
"""Counted up when the same request would give another result than before."""

Tensors = dict[str, "torch.Tensor"]


def cached(
    encoders: Sequence[Component], companions: Sequence[Component], request: Mapping[str, Any], encode: Callable[[], Tensors]
) -> Tensors:
    """What `encode` returns, from disk where the same request was encoded before by the same encoders.

    `encoders` are compared by what their weight files hold, their precision and their device; `companions` (tokenizers, processors)
    by their files; `request` holds everything else that the result depends on, as JSON values. Tensors come back on the CPU.
    """
    limit = _megabytes() * 1_000_000
    key = _key(encoders, companions, request) if limit else None
    if key is None:
        return _on_cpu(encode)
    path = host.current().user_folder / FOLDER / f"{key}.safetensors"
    found = _read(path)
    if found is not None:
        return found
    tensors = _on_cpu(encode)
    _write(path, tensors, limit)
    return tensors


def picture_key(picture: Any) -> str:
    """What stands for a picture (PIL) in a request."""
    return hashlib.sha256(f"{picture.mode} {picture.size} ".encode() + picture.tobytes()).hexdigest()


def _on_cpu(encode: Callable[[], Tensors]) -> Tensors:
    import torch

    with torch.no_grad():
        return {name: tensor.cpu().contiguous() for name, tensor in encode().items()}


def _megabytes() -> int:
    text = os.environ.get(SIZE_VARIABLE, "").strip()
    if not text:
        return DEFAULT_MEGABYTES
    if not text.isdigit():
        raise UserError(f"{SIZE_VARIABLE} is '{text}': give the megabytes that encoded prompts may take on disk, or 0 for no cache.")
    return int(text)


def _key(encoders: Sequence[Component], companions: Sequence[Component], request: Mapping[str, Any]) -> str | None:
    """The name of the file, or None where the files are not here: loading will say what is missing."""
    try:
        parts = {
            "format": _FORMAT,
            "libraries": {name: version(name) for name in ("torch", "transformers", "diffusers")},
            "encoders": [
                [part.entry.class_name, part.precision, STORE.device_of(part).type, content_fingerprint(locate(part))] for part in encoders
            ],
            "companions": [companion_fingerprint(locate(part)) for part in companions],
            "request": dict(request),
        }
    except MissingFilesError:
        return None
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Tensors | None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        # Read whole, not mapped: the file may be dropped while the tensors are in use.
        tensors = load(path.read_bytes())
        os.utime(path)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError) as error:
        log.warning("an encoded prompt on disk cannot be read (%s); it is encoded anew", error)
        return None
    log.info("the prompt was encoded before; its text encoders stay where they are")
    return dict(tensors)


def _write(path: Path, tensors: Tensors, limit: int) -> None:
    """Keep the tensors, dropping those that were not asked for the longest. A disk that cannot be written is no reason to stop."""
    from safetensors.torch import save

    data = save(tensors)
    if len(data) > limit:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent, limit - len(data))
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            file.write(data)
        Path(file.name).replace(path)
    except OSError as error:
        log.warning("the encoded prompt cannot be kept on disk (%s)", error)


def _make_room(folder: Path, limit: int) -> None:
    files = sorted(((path, path.stat()) for path in folder.glob("*.safetensors")), key=lambda item: item[1].st_mtime_ns)
    total = sum(stat.st_size for _, stat in files)
    for path, stat in files:
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
