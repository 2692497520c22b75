"""The edit list of a timeline: which frames of which files, in which order, how fast, blended how, with which sound.

As JSON, with frames counted from 0 and `out` the first frame that is no longer shown:

    {"clips": [{"file": {"filename": "a.mp4", "subfolder": "", "type": "output"}, "in": 0, "out": 48, "speed": 1.0, "fade": 0}],
     "audio": {"file": {...}, "start": 0.0},
     "frame_rate": [24, 1], "size": [832, 480]}

`fade` is the number of frames that a clip shares with the one before. Without `audio` the clips' own sound is heard; without
`frame_rate` and `size` those of the first clip hold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .frames import LONGEST_SIDE
from .info import VideoInfo, read_info
from .settings import frame_rate
from .stored import stored_file

if TYPE_CHECKING:
    from ..host.base import Host

SLOWEST, FASTEST = 0.05, 20.0
MOST_CLIPS = 500


@dataclass(frozen=True)
class Clip:
    """Frames `first` to `end` - 1 of a file."""

    file: Path
    info: VideoInfo
    first: int
    end: int
    speed: Fraction
    fade: int
    """Frames of the result in which this clip and the one before are blended."""

    def length(self, rate: Fraction) -> int:
        """Its frames in a result of this rate, at least one."""
        return max(1, math.floor((self.end - self.first) / self.step(rate) + Fraction(1, 2)))

    def step(self, rate: Fraction) -> Fraction:
        """Frames of the file from one frame of the result to the next."""
        return self.speed * self.info.frame_rate / rate

    def source_frame(self, index: int, rate: Fraction) -> int:
        """The frame of the file that frame `index` of this clip shows: the one whose time the middle of that frame falls into."""
        return min(self.first + math.floor((index + Fraction(1, 2)) * self.step(rate)), self.end - 1)


@dataclass(frozen=True)
class Track:
    """The sound of a file from `start` seconds on, in place of the clips' own."""

    file: Path
    start: float


@dataclass(frozen=True)
class Edit:
    """A checked edit list."""

    clips: tuple[Clip, ...]
    track: Track | None
    frame_rate: Fraction
    width: int
    height: int

    def starts(self) -> list[int]:
        """The frame of the result at which each clip begins, its fade included."""
        starts, end = [], 0
        for clip in self.clips:
            starts.append(end - clip.fade)
            end = starts[-1] + clip.length(self.frame_rate)
        return starts

    @property
    def frame_count(self) -> int:
        return self.starts()[-1] + self.clips[-1].length(self.frame_rate)


def parse_edit(text: str, host: Host) -> Edit:
    """The edit list in `text`, checked against the files that it names.

    Raises UserError with one sentence about the first thing that is wrong: no JSON, a file that is not in the output, temp or input
    folder, frames that the file does not have, a speed outside 0.05 to 20, a fade that is longer than its clips.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"The edit list is no JSON (line {error.lineno}: {error.msg}); edit it in the Video tab.") from error
    given = value.get("clips") if isinstance(value, Mapping) else None
    if not isinstance(given, list) or not given:
        raise UserError("The timeline is empty; open the Video tab in the sidebar and add clips to it.")
    if len(given) > MOST_CLIPS:
        raise UserError(f"The timeline has {len(given)} clips; {MOST_CLIPS} is the most.")
    known: dict[Path, VideoInfo] = {}
    clips = tuple(_clip(entry, f"Clip {number}", known, host) for number, entry in enumerate(given, 1))
    first = clips[0].info
    rate = frame_rate(_fraction(value["frame_rate"])) if value.get("frame_rate") else first.frame_rate
    width, height = _size(value["size"]) if value.get("size") else (first.width, first.height)
    _check_fades(clips, rate)
    return Edit(clips, _track(value.get("audio"), host), rate, width, height)


def _clip(entry: object, what: str, known: dict[Path, VideoInfo], host: Host) -> Clip:
    if not isinstance(entry, Mapping):
        raise UserError(f"{what} of the timeline is no object with file, in and out.")
    file = _file(entry.get("file"), what, host)
    if file not in known:
        known[file] = read_info(file)
    info = known[file]
    what = f"{what} ({file.name})"
    if not info.frame_rate:
        raise UserError(f"{what} has no frame rate; save it as a video file first.")
    first = _whole(entry.get("in", 0), f"{what}: in")
    end = _whole(entry.get("out", info.frame_count), f"{what}: out")
    if not 0 <= first < end <= info.frame_count:
        raise UserError(f"{what} shows frames {first} to {end}, but the file has {info.frame_count}; trim it again.")
    speed = entry.get("speed", 1)
    if not _is_number(speed) or not SLOWEST <= speed <= FASTEST:
        raise UserError(f"{what}: the speed must lie between {SLOWEST} and {FASTEST:g}; it is {str(speed)[:20]}.")
    return Clip(file, info, first, end, Fraction(speed).limit_denominator(1000), _whole(entry.get("fade", 0), f"{what}: fade"))


def _check_fades(clips: tuple[Clip, ...], rate: Fraction) -> None:
    if clips[0].fade:
        raise UserError("Clip 1 has nothing before it to fade from; set its fade to 0.")
    free = 0
    for number, clip in enumerate(clips, 1):
        length = clip.length(rate)
        if not 0 <= clip.fade <= min(free, length):
            raise UserError(
                f"The fade of {clip.fade} frames into clip {number} is longer than what is left of the two clips "
                f"({max(0, min(free, length))} frames); make it shorter."
            )
        free = length - clip.fade


def _track(value: object, host: Host) -> Track | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise UserError("The timeline's audio is no object with file and start.")
    start = value.get("start", 0.0)
    if not _is_number(start) or start < 0:
        raise UserError(f"The timeline's sound must start at 0 seconds or later; it starts at {str(start)[:20]}.")
    return Track(_file(value.get("file"), "The timeline's sound", host), float(start))


def _file(name: object, what: str, host: Host) -> Path:
    try:
        return stored_file(name, host)
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, what: str) -> int:
    if not _is_number(value) or value != int(value):
        raise UserError(f"{what} must be a whole number of frames; it is {str(value)[:20]!r}.")
    return int(value)


def _fraction(value: object) -> object:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value) and value[1]:
        return Fraction(*value)
    return value


def _size(value: object) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(side, int) and 1 <= side <= LONGEST_SIDE for side in value):
        return value[0], value[1]
    raise UserError(f"The timeline's size must be [width, height] in pixels, 1 to {LONGEST_SIDE} each.")


def state_of_files(text: str, host: Host) -> str:
    """Something that differs when a file of the list has changed; the text itself where the list cannot be read. Opens no file."""
    try:
        value = json.loads(text)
        named = [*value["clips"], *filter(None, [value.get("audio")])]
        files = [stored_file(entry["file"], host) for entry in named]
    except (UserError, ValueError, LookupError, TypeError, AttributeError):
        return text
    return json.dumps([[file.name, file.stat().st_mtime_ns, file.stat().st_size] for file in files])
