"""The weight files that the user has in ComfyUI's model folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .. import host

FILE_KINDS = ("diffusion_models", "text_encoders", "vae", "clip_vision")
"""ComfyUI's model folders for files that hold one part of a model."""

_walked: ContextVar[dict[Path, list[Path]] | None] = ContextVar("walked", default=None)
"""Folder -> every file below it, within `folders_held`."""


@contextmanager
def folders_held() -> Iterator[None]:
    """Within it each model folder is walked at most once, and what comes meanwhile is not seen: for a graph's many searches, which bring
    no files."""
    if _walked.get() is not None:
        yield
        return
    token = _walked.set({})
    try:
        yield
    finally:
        _walked.reset(token)


def safetensors_files(kind: str) -> dict[str, Path]:
    """Name below its folder of this kind -> safetensors file; of equal names the first folder's. Opens nothing."""
    return files_in(kind, (".safetensors",))


def files_in(kind: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The same for files with one of these suffixes."""
    files: dict[str, Path] = {}
    for root in host.current().model_folders(kind):
        for path in _files_below(root):
            if path.suffix.lower() in suffixes:
                files.setdefault(path.relative_to(root).as_posix(), path)
    return files


def neighbours(path: Path, suffix: str) -> list[Path]:
    """The other files with this suffix in the folder of a file of one of `FILE_KINDS`."""
    roots = {root for kind in FILE_KINDS for root in host.current().model_folders(kind) if root in path.parents}
    others = {other for root in roots for other in _files_below(root) if other.parent == path.parent and other != path}
    return sorted(other for other in others if other.suffix.lower() == suffix)


def _files_below(root: Path) -> list[Path]:
    walked = _walked.get()
    if walked is not None and root in walked:
        return walked[root]
    # Folders are often links to another disk, which Path.rglob does not follow everywhere.
    found = [Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in sorted(names)]
    if walked is not None:
        walked[root] = found
    return found
