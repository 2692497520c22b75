"""Where frames come from: a clip in memory, a file on disk, or anything that hands them over piece by piece.

An encoder never needs the whole clip at once. A node that decodes latents can pass a `FrameSource` instead of a tensor, and the frames
are encoded as they leave the decoder.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..errors import UserError
from .decode import has_alpha, rgb_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

LONGEST_SIDE = 16384
"""Pixels; H.264 and HEVC decoders stop at or below this, and larger values are typing errors."""

_CHUNK = 8  # frames decoded from a file before they are handed on
_HELD_BACK = 16
"""Frames that a decoder reorders at most (H.264, A.3.1 MaxDpbFrames). Some containers look for a keyframe by the time at which it is
decoded, which lies that much before the time at which it is shown."""


@runtime_checkable
class FrameSource(Protocol):
    """Frames that arrive in chunks, in display order.

    `chunks` is called once. It yields float tensors [n, height, width, channels], n >= 1, with values 0..1 in sRGB; all chunks together
    hold `frame_count` frames. `channels` is 3 (RGB) or 4 (RGB and straight alpha).
    """

    frame_count: int
    height: int
    width: int
    channels: int

    def chunks(self) -> Iterator[torch.Tensor]:
        """The frames, a few at a time."""


class TensorFrames:
    """An IMAGE [B, H, W, C] in memory; its frames can be taken in any order."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images
        self.frame_count, self.height, self.width, self.channels = images.shape

    def chunks(self) -> Iterator[torch.Tensor]:
        for index in range(self.frame_count):
            yield self.images[index : index + 1]

    def frame(self, index: int) -> torch.Tensor:
        """Frame `index` as [H, W, C]."""
        return self.images[index]


class FileFrames:
    """The frames of a video file, decoded as they are asked for.

    `start` and `duration` are seconds; a duration of 0 means to the end.
    """

    def __init__(self, file: str | io.BytesIO, start: float = 0.0, duration: float = 0.0) -> None:
        self._file = file
        self._start = start
        self._end = start + duration if duration else float("inf")
        with _open(file) as container:
            if not container.streams.video:
                raise UserError("The VIDEO input holds no picture stream; connect a video with frames.")
            stream = container.streams.video[0]
            self.width, self.height = stream.width, stream.height
            # Transparency of VP9 lies beside the picture, where libvpx alone looks for it.
            self._decoder = "libvpx-vp9" if stream.codec_context.name == "vp9" and _announces_alpha(stream.metadata) else None
            self.channels = 4 if self._decoder or (stream.format is not None and has_alpha(stream.format.name)) else 3
            self.frame_rate = Fraction(stream.average_rate or stream.guessed_rate or 1)
            self.frame_count = sum(
                1
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard and self._wanted(packet.pts, packet.time_base)
            )

    def _wanted(self, pts: int | None, time_base: Fraction | None) -> bool:
        if pts is None or time_base is None:
            return True
        # Half a frame of tolerance: container time stamps are rounded.
        return self._start - 0.5 / self.frame_rate <= pts * time_base < self._end - 0.5 / self.frame_rate

    def chunks(self) -> Iterator[torch.Tensor]:
        import torch

        batch: list[torch.Tensor] = []
        delivered = 0
        for frame in self._decoded():
            batch.append(frame)
            if len(batch) == _CHUNK:
                delivered += len(batch)
                yield torch.stack(batch)
                batch = []
        if batch:
            delivered += len(batch)
            yield torch.stack(batch)
        if delivered != self.frame_count:
            logger.warning("The input video announces %d frames and holds %d.", self.frame_count, delivered)
            self.frame_count = delivered

    def _decoded(self) -> Iterator[torch.Tensor]:
        import av
        import torch
        from av.codec import CodecContext

        with _open(self._file) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            decoder: Any = stream.codec_context if self._decoder is None else CodecContext.create(self._decoder, "r")
            try:
                begin = self._start - _HELD_BACK / self.frame_rate
                if begin > 0:
                    container.seek(int(begin / stream.time_base), stream=stream)
                for packet in container.demux(stream):
                    for frame in decoder.decode(packet if packet.size else None):
                        if self._wanted(frame.pts, stream.time_base):
                            yield torch.from_numpy(rgb_of(frame))
                        elif frame.pts is not None and frame.pts * stream.time_base >= self._end:
                            return
            except av.error.FFmpegError as error:
                raise UserError("The VIDEO input is damaged: a part of it cannot be decoded.") from error

    def audio(self) -> dict[str, Any] | None:
        """The first sound stream as an AUDIO value, cut to the same part of the file, or None."""
        return audio_of(self._file, self._start, self._end)


def audio_of(file: str | io.BytesIO, start: float = 0.0, end: float = float("inf")) -> dict[str, Any] | None:
    """The first sound stream of a file as an AUDIO value, from `start` to `end` seconds, or None where it has none."""
    import numpy as np
    import torch
    from av.audio.resampler import AudioResampler

    with _open(file) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        resampler = AudioResampler(format="fltp")
        pieces = [part.to_ndarray() for frame in container.decode(stream) for part in resampler.resample(frame)]
        rate = int(stream.rate or 0)
    if not pieces or not rate:
        return None
    samples = np.concatenate(pieces, axis=1)
    last = samples.shape[1] if end == float("inf") else round(end * rate)
    return {"waveform": torch.from_numpy(samples[:, round(start * rate) : last].copy())[None], "sample_rate": rate}


def _open(file: str | io.BytesIO) -> Any:
    import av

    if isinstance(file, io.BytesIO):
        file.seek(0)
    try:
        return av.open(file)
    except (av.error.FFmpegError, OSError) as error:
        raise UserError("The VIDEO input cannot be read: its file is missing or is not a video.") from error


def _announces_alpha(metadata: dict[str, str]) -> bool:
    return {key.lower(): value for key, value in metadata.items()}.get("alpha_mode") == "1"


def frames_of(images: object) -> FrameSource:
    """A source for an IMAGE tensor [B, H, W, C], C 3 or 4 (or 1: grey), any float dtype, or for a source itself.

    Raises UserError for no frames, a wrong shape, or sides that no encoder takes.
    """
    import torch

    source: FrameSource
    if isinstance(images, FrameSource):  # first: frames that are still to be decoded are a tensor as well
        source = images
    elif isinstance(images, torch.Tensor):
        if images.ndim == 3:
            images = images[None]
        if images.ndim != 4:
            shape = "x".join(str(side) for side in images.shape)
            raise UserError(f"IMAGE must be [frames, height, width, channels]; this one is {shape}.")
        if not images.is_floating_point():
            raise UserError("IMAGE must hold floating-point values between 0 and 1; this one holds integers.")
        if images.shape[-1] == 1:
            images = images.expand(-1, -1, -1, 3)
        source = TensorFrames(images)
    else:
        raise UserError(f"VideoCombine takes an IMAGE or a VIDEO, not {type(images).__name__}.")
    if source.frame_count < 1:
        raise UserError("There are no frames to save: the IMAGE batch is empty.")
    if source.channels not in (3, 4):
        raise UserError(f"IMAGE must have 3 channels, or 4 with alpha; this one has {source.channels}.")
    if not (1 <= source.height <= LONGEST_SIDE and 1 <= source.width <= LONGEST_SIDE):
        raise UserError(f"Frames of {source.width}x{source.height} cannot be encoded: each side must be 1 to {LONGEST_SIDE} pixels.")
    return source


def to_pixels(frame: torch.Tensor) -> NDArray[np.float32]:
    """One frame [H, W, C] of any float dtype and device as float32 on the CPU, without a copy where none is needed."""
    import torch

    pixels: NDArray[np.float32] = frame.detach().to(device="cpu", dtype=torch.float32).numpy()
    return pixels
