"""The weight files that the user has in ComfyUI's model folders."""

from __future__ import annotations

import os
from pathlib import Path

from .. import host


def safetensors_files(kind: str) -> dict[str, Path]:
    """Name below its folder of this kind -> safetensors file; of equal names the first folder's. Opens nothing."""
    return files_in(kind, (".safetensors",))


def files_in(kind: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The same for files with one of these suffixes."""
    files: dict[str, Path] = {}
    for root in host.current().model_folders(kind):
        # Folders are often links to another disk, which Path.rglob does not follow everywhere.
        for folder, _, names in os.walk(root, followlinks=True):
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix.lower() in suffixes:
                    files.setdefault(path.relative_to(root).as_posix(), path)
    return files
