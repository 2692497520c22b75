"""The result of an edit list cut into what can be copied out of its files as it is coded, and what has to be encoded.

Copied is, of a clip that keeps its speed and size, all from its first keyframe on, outside of fades, up to the last frame before its
end that is decoded without any frame after it: the last but a few, whatever the distance of keyframes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .edits import Clip, Edit
from .packets import CodedFile, coded_file

if TYPE_CHECKING:
    from .settings import Settings

_CODECS = {
    "libx264": "h264",
    "libx265": "hevc",
    "libsvtav1": "av1",
    "libvpx-vp9": "vp9",
    "prores_ks": "prores",
    "ffv1": "ffv1",
}
"""Encoder of `formats` -> FFmpeg's name of what it writes."""


@dataclass(frozen=True)
class Section:
    """Frames `start` to `end` - 1 of the result."""

    start: int
    end: int
    source: CodedFile | None = None
    """The file that holds them coded; None: they are to be encoded."""
    first: int = 0
    """The frame of that file that `start` is."""


def coded_as_asked(edit: Edit, settings: Settings) -> dict[Path, CodedFile]:
    """The files of clips that are already coded as `settings` ask, but for quality and speed, which are the files'."""
    form = settings.format
    found = {}
    for file, info in {clip.file: clip.info for clip in edit.clips}.items():
        as_asked = (
            info.codec == _CODECS.get(form.encoder.name)
            and form.muxer in info.container.split(",")
            and info.pixel_format == form.pixel_formats.get((settings.bit_depth, False))
            and info.frame_rate == settings.frame_rate
        )
        coded = coded_file(file) if as_asked else None
        if coded is not None:
            found[file] = coded
    return found


def sections_of(edit: Edit, files: Mapping[Path, CodedFile]) -> list[Section]:
    """The whole result in order: as much as can be copied out of `files`, and what lies between."""
    sections, done = [], 0
    for index, (clip, start) in enumerate(zip(edit.clips, edit.starts(), strict=True)):
        file = files.get(clip.file)
        if file is None or not _is_unchanged(clip, edit):
            continue
        fade_out = edit.clips[index + 1].fade if index + 1 < len(edit.clips) else 0
        begin = bisect_left(file.begins, clip.first + clip.fade)
        end = bisect_right(file.ends, clip.end - fade_out)
        if begin == len(file.begins) or not end or file.begins[begin] >= file.ends[end - 1]:
            continue
        first, last = file.begins[begin], file.ends[end - 1]
        copied = Section(start + first - clip.first, start + last - clip.first, file, first)
        if done < copied.start:
            sections.append(Section(done, copied.start))
        sections.append(copied)
        done = copied.end
    if done < edit.frame_count:
        sections.append(Section(done, edit.frame_count))
    return sections


def _is_unchanged(clip: Clip, edit: Edit) -> bool:
    info = clip.info
    return clip.speed == 1 and info.frame_rate == edit.frame_rate and (info.width, info.height) == (edit.width, edit.height)
