"""A video file as a value on a VIDEO wire, for a process without ComfyUI."""

from __future__ import annotations

import inspect
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .frames import FileFrames, FrameSource, TensorFrames, frames_of
from .info import read_info

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class VideoComponents:
    """What `VideoFile.get_components` gives; the same fields as ComfyUI's class of this name."""

    images: torch.Tensor
    """[frames, height, width, channels], float32 0..1."""
    frame_rate: Fraction
    audio: dict[str, Any] | None = None


@dataclass(frozen=True)
class VideoFile:
    """A file on disk, with the methods of ComfyUI's VideoInput that nodes call."""

    path: Path

    def get_stream_source(self) -> str:
        """The file itself."""
        return str(self.path)

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height in pixels."""
        info = read_info(self.path)
        return info.width, info.height

    def get_duration(self) -> float:
        """Seconds."""
        return float(read_info(self.path).seconds)

    def get_frame_count(self) -> int:
        """Counted, not estimated."""
        return read_info(self.path).frame_count

    def get_frame_rate(self) -> Fraction:
        """Frames per second."""
        return read_info(self.path).frame_rate

    def get_components(self) -> VideoComponents:
        """Every frame and the sound, decoded into memory."""
        import torch

        source = FileFrames(str(self.path))
        return VideoComponents(torch.cat(list(source.chunks())), source.frame_rate, source.audio())


@dataclass(frozen=True)
class VideoClip:
    """A clip in memory on a VIDEO wire, for formats that cannot be read back as a video."""

    components: VideoComponents

    def get_components(self) -> VideoComponents:
        return self.components


@dataclass(frozen=True)
class VideoParts:
    """What a VIDEO value holds, without decoding more than its headers."""

    source: FrameSource
    frame_rate: Fraction | None
    audio: object | None


def parts_of(video: object) -> VideoParts:
    """The frames, rate and sound of a VIDEO value: ComfyUI's classes, ours, or a `FrameSource` (whose rate the node then sets).

    A video that is a file is decoded piece by piece; only one made of tensors is taken as tensors. Raises UserError for anything else.
    """
    if isinstance(video, FrameSource):
        return VideoParts(video, getattr(video, "frame_rate", None), getattr(video, "sound", None))
    if _is_file(video):
        file = video.get_stream_source()  # type: ignore[attr-defined]
        window = getattr(video, "get_active_trim_window", None)
        start, duration = window() if window is not None else (0.0, 0.0)
        source = FileFrames(file, start, duration)
        return VideoParts(source, source.frame_rate, source.audio())
    if hasattr(video, "get_components"):
        components = video.get_components()
        return VideoParts(frames_of(components.images), Fraction(components.frame_rate), components.audio)
    raise UserError(f"The VIDEO input is a {type(video).__name__}; connect the output of a node that loads or makes a video.")


def _is_file(video: object) -> bool:
    """Whether the video has a file of its own. ComfyUI's base class also answers `get_stream_source`, by encoding the clip with loss."""
    for cls in type(video).__mro__:
        if "get_stream_source" in vars(cls):
            if inspect.isabstract(cls):
                return False
            return isinstance(video.get_stream_source(), str | io.BytesIO)  # type: ignore[attr-defined]
    return False


def all_frames(source: FrameSource) -> torch.Tensor:
    """Every frame of a source as one IMAGE tensor."""
    import torch

    if isinstance(source, TensorFrames):
        return source.images
    return torch.cat(list(source.chunks()))
