"""Downloads from the hub: planned with exact bytes, resumed after a kill, verified before a file gets its name.

The hub's own downloader starts a file anew after a kill (since 1.x its partial files carry a random name) and cannot be stopped between
chunks, so each file goes through the hub's `http_get`, which can continue, into a partial file named after its content.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import host
from ..errors import UserError
from .component import AUTO_SOURCE, Component
from .download_errors import DownloadError, UnreachableError, explained
from .download_plan import DownloadPlan, RemoteFile, chosen_files
from .sources import MODELS_KIND, ComponentFolder, MissingFilesError, find, locate
from .weight_files import BrokenFilesError

if TYPE_CHECKING:
    from .schema import Location

logger = logging.getLogger(__name__)

SWITCH = "ADVANCED_MODELS_DOWNLOADS"
"""`off` keeps loaders from downloading."""
TARGET = "ADVANCED_MODELS_DOWNLOAD_TO"
"""`models` downloads into ComfyUI's `models/diffusers/NAME`; `cache`, the default, into the hub cache."""
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


def allowed() -> bool:
    """Whether loaders may download: neither the hub's library nor our switch says no."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and os.environ.get(SWITCH, "").lower() != "off"


def obtain(component: Component) -> ComponentFolder:
    """The folder of a component, downloaded first if it is nowhere or its download did not finish.

    Raises:
        MissingFilesError: it is nowhere, and downloading is switched off or the hub cannot be reached.
        DownloadError: the hub does not give it.
    """
    if component.source != AUTO_SOURCE or not allowed() or is_complete(component):
        return locate(component)
    if licence := show_licence_once(component):
        logger.info("%s", licence)
        host.current().show_text(licence)
    try:
        download(plan(component))
    except UnreachableError as error:
        try:
            return locate(component)
        except (MissingFilesError, BrokenFilesError) as missing:
            raise MissingFilesError(f"{error} {missing}") from None
    return locate(component)


def is_complete(component: Component) -> bool:
    """Whether the whole of a component is here."""
    return find(component) is not None


def missing_bytes(component: Component) -> int | None:
    """Bytes that a run would download for the component, from the registry alone; None where the registry does not know them."""
    if is_complete(component):
        return 0
    return component.entry.bytes_at(_location(component)) or None


def plan(component: Component) -> DownloadPlan:
    """Ask the hub for the files of a component; nothing is written. Raises DownloadError when the hub does not answer."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    location = _location(component)
    repository = location.repository
    with explained(repository):
        info = HfApi().model_info(repository, files_metadata=True)
    files = chosen_files(info.siblings or [], location, weights=bool(component.entry.parameters))
    if not files:
        raise DownloadError(f"{location} holds no files for it on the hub: the repository was changed. Update the registry entry.")
    in_cache = os.environ.get(TARGET, "cache").lower() != "models"
    if in_cache:
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    else:
        folder = _models_folder() / repository.rpartition("/")[2]
    return DownloadPlan(repository, str(info.sha), files, folder, in_cache, bool(info.gated))


def download(wanted: DownloadPlan) -> None:
    """Bring every file of a plan that is not here.

    Raises:
        UserError: the disk is too small; nothing was transferred.
        DownloadError: the hub fails; what has arrived is kept and continued next time.
        Interrupted: the user stopped; likewise.
    """
    wanted.check_disk()
    check_gate(wanted)
    bar, done = host.current().progress(max(1, wanted.total_bytes)), 0
    for file in wanted.files:
        with explained(wanted.repository):
            _bring(wanted, file)
            if wanted.in_cache:
                _enter_in_cache(wanted, file)
        done += file.size
        bar.update(done)


def check_gate(wanted: DownloadPlan) -> None:
    """Raises DownloadError with the way in when the repository is gated and this user may not enter."""
    from huggingface_hub import HfApi

    if wanted.gated:
        with explained(wanted.repository):
            HfApi().auth_check(wanted.repository)


def show_licence_once(component: Component) -> str | None:
    """The model's licence in one line, the first time it is asked for; remembered in the user folder."""
    licence = component.model_entry.licence
    seen_file = host.current().user_folder / "licences_shown.json"
    try:
        seen = json.loads(seen_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        seen = []
    if licence.name in seen:
        return None
    seen_file.parent.mkdir(parents=True, exist_ok=True)
    seen_file.write_text(json.dumps([*seen, licence.name]), encoding="utf-8")
    return f"{component.model_entry.name}: {licence.name}{f', {licence.url}' if licence.url else ''}"


def _location(component: Component) -> Location:
    return component.entry.location_in(component.model_entry.repository)


def _models_folder() -> Path:
    folders = host.current().model_folders(MODELS_KIND)
    if not folders:
        raise UserError(f"{TARGET} is 'models' and there is no folder models/{MODELS_KIND}: create it, or set it to 'cache'.")
    return folders[0]


def _bring(wanted: DownloadPlan, file: RemoteFile) -> None:
    """Bring one file and give it its name once its hash is right. Whoever comes second waits and finds it there."""
    from huggingface_hub.utils import WeakFileLock, disable_progress_bars

    target, partial = wanted.target(file), wanted.partial(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(partial.with_suffix(".lock")):
        if wanted.is_here(file):
            return
        disable_progress_bars("huggingface_hub.http_get")
        try:
            _transfer(wanted, file)
        finally:
            _active.pop(threading.get_ident(), None)
        if _digest(partial, file) != file.digest:
            partial.unlink()
            raise DownloadError(f"{file.name} of {wanted.repository} arrived damaged (its hash is wrong) and was removed: run it again.")
        partial.replace(target)


def _transfer(wanted: DownloadPlan, file: RemoteFile) -> None:
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
            _Watched(opened, wanted, file),  # type: ignore[arg-type]  # writes, seeks and truncates as a file does
            resume_size=size,
            headers=build_hf_headers(),
            expected_size=file.size,
        )


def _enter_in_cache(wanted: DownloadPlan, file: RemoteFile) -> None:
    """Let the hub's library enter the file in its snapshot: it finds the blob and transfers nothing."""
    from huggingface_hub import hf_hub_download

    hf_hub_download(wanted.repository, file.name)


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

    def __init__(self, opened: Any, wanted: DownloadPlan, file: RemoteFile) -> None:
        self._file = opened
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
