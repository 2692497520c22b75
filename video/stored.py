"""Files as the page names them: a file name, a subfolder, and which of the host's folders; never a path."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .files import claim
from .formats import FORMATS
from .info import VideoInfo, read_info

if TYPE_CHECKING:
    from ..host.base import Host
    from .saved import SavedVideo

KINDS = ("output", "temp", "input")
_COUNTER = re.compile(r"_?\d{5}_?$")


def stored_file(name: object, host: Host) -> Path:
    """The file of `{"filename": "a.mp4", "subfolder": "b", "type": "output" | "temp" | "input"}`.

    Raises UserError where there is no such file inside that folder, links followed.
    """
    if not isinstance(name, Mapping) or name.get("type") not in KINDS:
        raise UserError(f"A file is named by filename, subfolder and type ({', '.join(KINDS)}).")
    filename, subfolder = name.get("filename"), name.get("subfolder", "")
    if not isinstance(filename, str) or not isinstance(subfolder, str) or "\0" in filename + subfolder:
        raise UserError("filename and subfolder must be texts.")
    roots = {"output": host.output_folder, "temp": host.temp_folder, "input": host.input_folder}
    root = roots[str(name["type"])].resolve()
    file = (root / subfolder / filename).resolve()
    if not filename or not file.is_relative_to(root) or not file.is_file():
        shown = "/".join(part for part in (subfolder, filename) if part)
        raise UserError(f"There is no file {shown[:120]!r} in the {name['type']} folder; run the node that makes it again.")
    return file


def describe(file: Path, subfolder: str, kind: str, info: VideoInfo) -> dict[str, Any]:
    """What the page needs to play a file, in the form that VideoCombine reports."""
    by_extension = {"." + form.extension: form.mime for form in FORMATS.values()}
    mime = by_extension.get(file.suffix.lower(), "video/" + file.suffix[1:].lower())
    return playable(file.name, subfolder, kind, info, mime=mime, has_audio=info.audio is not None)


def playable(filename: str, subfolder: str, kind: str, clip: VideoInfo | SavedVideo, *, mime: str, has_audio: bool) -> dict[str, Any]:
    """What the page needs to play a clip. The rate is a fraction, so that the player can step by exact frames."""
    return {
        "filename": filename,
        "subfolder": subfolder,
        "type": kind,
        "format": mime,
        "frame_rate": [clip.frame_rate.numerator, clip.frame_rate.denominator],
        "frame_count": clip.frame_count,
        "duration": float(clip.seconds),
        "width": clip.width,
        "height": clip.height,
        "has_audio": has_audio,
    }


def facts(name: Mapping[str, Any], host: Host) -> dict[str, Any]:
    """What a file holds, as `describe` says it."""
    file = stored_file(name, host)
    return describe(file, str(name.get("subfolder", "")), str(name["type"]), read_info(file))


def keep(name: Mapping[str, Any], host: Host) -> dict[str, Any]:
    """Copy a preview from the temp folder into the same subfolder of the output folder, under a name that is free there.

    Raises UserError for a file that is not in the temp folder, or where it cannot be written.
    """
    if name.get("type") != "temp":
        raise UserError("Only previews of the temp folder are copied; this file is kept already.")
    file = stored_file(name, host)
    inside = file.relative_to(host.temp_folder.resolve())
    # Without the tokens' sign: the copy is named after the file, not after a pattern.
    prefix = inside.with_name(_COUNTER.sub("", file.stem) or "video").as_posix().replace("%", "_")
    try:
        with claim(host.output_folder, prefix, file.suffix, width=0, height=0) as taken:
            shutil.copyfile(file, taken.part)
            with taken.part.open("r+b") as copy:
                os.fsync(copy.fileno())
            kept = taken.publish()
    except OSError as error:
        raise UserError(f"The copy could not be written ({error.strerror}); the preview is still in the temp folder.") from error
    return describe(kept, taken.subfolder, "output", read_info(kept))
