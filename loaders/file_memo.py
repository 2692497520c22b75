"""Remembering what was read from a file until the file is another."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")


def remembered(read: Callable[[Path], R]) -> Callable[[Path], R]:
    """Decorates a function that reads a file: it reads anew where the file's size or time of change is another than before.

    Its answer is shared, so nobody changes it. It raises OSError besides where the file is not there.
    """

    @functools.lru_cache(maxsize=1024)
    def known(path: Path, _size: int, _changed: int) -> R:
        return read(path)

    @functools.wraps(read)
    def ask(path: Path) -> R:
        stat = path.stat()
        return known(path, stat.st_size, stat.st_mtime_ns)

    return ask
