"""One file from the hub: continued where it broke off, shown while it grows, verified before it gets its name.

The hub's own downloader starts a file anew after a kill (since 1.x its partial files carry a random name) and cannot be stopped between
chunks, so a file goes through the hub's `http_get`, which can continue, into a partial file named after its content.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import host
from .download_errors import DownloadError
from .download_plan import DownloadPlan, RemoteFile

_SHOW_EVERY = 0.5


@dataclass(frozen=True)
class Active:
    """A download in progress. Sizes in bytes, of the file; `rate` in bytes per second."""

    repository: str
    file: str
    done: int
    total: int
    rate: float


_active: dict[int, Active] = {}


def active() -> list[Active]:
    """The downloads in progress."""
    return list(_active.values())


def bring(wanted: DownloadPlan, file: RemoteFile, grown: Callable[[int], None]) -> None:
    """Bring one file and give it its name once its hash is right. Whoever comes second waits and finds it there.

    `grown` is told now and then how many bytes of the file are here. Raises what the hub's library raises, DownloadError for a file whose
    hash is wrong, Interrupted when the user stops.
    """
    from huggingface_hub.utils import WeakFileLock, disable_progress_bars

    target, partial = wanted.target(file), wanted.partial(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(partial.with_suffix(".lock")):
        if wanted.is_here(file):
            return
        disable_progress_bars("huggingface_hub.http_get")
        try:
            _transfer(wanted, file, grown)
        finally:
            _active.pop(threading.get_ident(), None)
        if _digest(partial, file) != file.digest:
            partial.unlink()
            raise DownloadError(f"{file.name} of {wanted.repository} arrived damaged (its hash is wrong) and was removed: run it again.")
        partial.replace(target)


def _transfer(wanted: DownloadPlan, file: RemoteFile, grown: Callable[[int], None]) -> None:
    """Go on with the partial file to its end."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    # Unbuffered: what was written survives a kill. Not "append": the hub's library rewinds when a server ignores the range.
    partial = wanted.partial(file)
    partial.touch()
    with partial.open("r+b", buffering=0) as opened:
        size = opened.seek(0, os.SEEK_END)
        if size > file.size:
            size = opened.seek(0)
            opened.truncate()
        http_get(
            hf_hub_url(wanted.repository, file.name, revision=wanted.commit),
            _Watched(opened, wanted, file, grown),  # type: ignore[arg-type]  # writes, seeks and truncates as a file does
            resume_size=size,
            headers=build_hf_headers(),
            expected_size=file.size,
        )


def _digest(path: Path, file: RemoteFile) -> str:
    """sha256, or git's blob id where the hub's hash is one."""
    is_git = len(file.digest) == 40
    digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False) if is_git else hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
            host.current().raise_if_interrupted()
    return digest.hexdigest()


class _Watched:
    """A file that tells how fast it grows, and stops the transfer when the user does."""

    def __init__(self, opened: Any, wanted: DownloadPlan, file: RemoteFile, grown: Callable[[int], None]) -> None:
        self._file, self._grown = opened, grown
        self._started, self._before, self._shown = time.monotonic(), opened.tell(), 0.0
        self._state = Active(wanted.repository, file.name, self._before, file.size, 0.0)

    def write(self, chunk: bytes) -> int:
        host.current().raise_if_interrupted()
        written: int = self._file.write(chunk)
        now, done = time.monotonic(), self._file.tell()
        self._state = replace(self._state, done=done, rate=(done - self._before) / max(now - self._started, 1e-6))
        _active[threading.get_ident()] = self._state
        if now - self._shown >= _SHOW_EVERY:
            self._shown = now
            self._grown(done)
            host.current().show_text(_line(self._state))
        return written

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, position: int) -> int:
        return int(self._file.seek(position))

    def truncate(self) -> int:
        return int(self._file.truncate())


def _line(state: Active) -> str:
    left = (state.total - state.done) / state.rate if state.rate else 0
    return f"{state.file}: {state.done / 1e9:.2f} of {state.total / 1e9:.2f} GB, {state.rate / 1e6:.1f} MB/s, {left:.0f} s left"
