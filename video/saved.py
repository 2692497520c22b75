"""A finished file, and how a try to make one ends: verified and counted, or with a sentence and nothing left behind."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ..errors import Interrupted, UserError
from .files import Claim
from .info import VideoInfo, read_info
from .settings import Settings

logger = logging.getLogger(__name__)

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class SavedVideo:
    """A finished, verified file."""

    path: Path
    """The file; the first picture of a sequence."""
    subfolder: str
    frame_rate: Fraction
    frame_count: int
    width: int
    height: int
    mime: str
    has_sound: bool
    has_alpha: bool
    notes: tuple[str, ...] = ()
    """What was changed on the way, a sentence each."""

    @property
    def seconds(self) -> float:
        return float(self.frame_count / self.frame_rate)


@contextmanager
def told(taken: Claim, settings: Settings, of_the_source: Callable[[], BaseException | None] = lambda: None) -> Iterator[None]:
    """Logs what ends the block, and says errors of the encoder and the disk in a sentence; those of the frames' source stay as they are."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        stopped = isinstance(error, KeyboardInterrupt | Interrupted) or "Interrupt" in type(error).__name__
        logger.info("%s %s; the unfinished file was removed.", taken.name, "was stopped" if stopped else "failed")
        explained = None if error is of_the_source() else _explain(error, settings)
        if explained is None:
            raise
        raise explained from error


def read_back(taken: Claim) -> VideoInfo:
    """What the part holds, once all of it is on the disk."""
    with taken.part.open("r+b") as file:
        os.fsync(file.fileno())
    return read_info(taken.part, name=taken.name)


def check_count(taken: Claim, found: int, expected: int) -> None:
    """Raises UserError when the part has another number of frames."""
    if found != expected:
        raise UserError(
            f"{taken.name} came out with {found} of {expected} frames; the unfinished file was removed. Check the free space on the disk."
        )


def _explain(error: BaseException, settings: Settings) -> UserError | None:
    """A sentence for errors of the encoder and of the disk; None for those that already speak, and for bugs."""
    import av

    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return UserError(
            "The disk is full, so the video could not be written; the unfinished file was removed. Free some space and run again."
        )
    if isinstance(error, av.error.FFmpegError):
        what = error.strerror or str(error)
        return UserError(f"The encoder for {settings.format.name} failed ({what}); nothing was saved. Try another format, speed or size.")
    if isinstance(error, OSError):
        return UserError(f"The video could not be written ({error.strerror}); the unfinished file was removed.")
    return None
