"""Writers: finished frames in, one file (or one folder of pictures) out."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from . import metadata
from .audio import Sound, SoundTrack
from .formats import Encoder
from .hardware import choose, options_of
from .palette import with_palettes
from .settings import Settings

if TYPE_CHECKING:
    import av

# Encoders keep frames per thread in memory, and gain little beyond this many.
_MOST_THREADS = 16
# Frames by which decoding may run ahead of showing (H.264, A.3.1 MaxDpbFrames; H.265 has the same).
_MOST_REORDERED = 16


class Writer(Protocol):
    """Takes frames whose time stamps count from 0, one per frame period."""

    def write(self, frames: Iterator[av.VideoFrame]) -> Iterator[int]:
        """Encode `frames`; yields, after each step, how many are finished."""

    def close(self) -> None:
        """Finish the file."""

    def abandon(self) -> None:
        """Close what is open and ignore what that says: the file is going to be removed."""


@contextlib.contextmanager
def finishing(close: Callable[[], None], abandon: Callable[[], None]) -> Iterator[None]:
    """`close` what is written within the block at its end; where that or the block fails, `abandon` it."""
    try:
        yield
        close()
    except BaseException:  # an interruption as well: the file must be let go of before it is removed
        abandon()
        raise


def let_go(container: Any) -> None:
    """Close a container and ignore what that says: its file is going to be removed."""
    import av

    with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
        container.close()


def stamped(frames: Iterator[av.VideoFrame], rate: Fraction) -> Iterator[av.VideoFrame]:
    """The frames with the time stamps that a `Writer` takes."""
    for number, frame in enumerate(frames):
        frame.pts = number
        frame.time_base = 1 / rate
        yield frame


class ContainerWriter:
    """One file through FFmpeg's muxers, with its sound in the same pass. `size` is (width, height) of the frames that come."""

    def __init__(
        self,
        file: Path,
        settings: Settings,
        pixel_format: str,
        size: tuple[int, int],
        *,
        alpha: bool,
        sound: Sound | None,
        tags: Mapping[str, str],
    ) -> None:
        import av

        self._file, self._settings, self._alpha, self._tags = file, settings, alpha, tags
        form = settings.format
        self._encoder = self._choose_encoder(pixel_format)
        self._native = self._encoder.native.get(pixel_format)
        muxer_options = dict(form.muxer_options)
        if form.loop is not None:
            muxer_options[form.loop] = str(_loop_value(form.muxer, settings.plays))
        self._container = av.open(str(file), "w", format=form.muxer, options=muxer_options)
        try:
            if form.loop is None:
                self._container.metadata.update(tags)
            self._stream = self._add_stream(self._native or pixel_format, size)
            self._track = None
            if sound is not None and form.audio is not None:
                self._track = SoundTrack(self._container, form.audio, sound)
        except BaseException:  # whatever it is, nobody else knows of the open container yet
            self.abandon()
            raise

    def _choose_encoder(self, pixel_format: str) -> Encoder:
        if not self._settings.hardware:
            return self._settings.format.encoder
        return choose(self._settings.format, pixel_format, self._settings.quality, self._settings.speed)

    def _add_stream(self, pixel_format: str, size: tuple[int, int]) -> Any:
        settings, encoder = self._settings, self._encoder
        options = dict(options_of(encoder, settings.quality, settings.speed, settings.crf))
        if settings.keyframe_interval and settings.format.keyframes:
            options["g"] = str(settings.keyframe_interval)
        if encoder.name == "libsvtav1":
            # SVT-AV1 prints its configuration on stderr unless its own variable asks for errors only.
            os.environ.setdefault("SVT_LOG", "1")
        stream: Any = self._container.add_stream(encoder.name, rate=settings.frame_rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "pal8" if settings.format.muxer == "gif" else pixel_format
        stream.time_base = 1 / settings.frame_rate
        if settings.format.codec_tag:
            stream.codec_context.codec_tag = settings.format.codec_tag
        # Slice threads, PyAV's default, cost quality at the same rate (2.5 % of the size with two threads, more with many).
        stream.codec_context.thread_type = "FRAME"
        if (os.cpu_count() or 1) > _MOST_THREADS:
            stream.codec_context.thread_count = _MOST_THREADS
        return stream

    def write(self, frames: Iterator[av.VideoFrame]) -> Iterator[int]:
        rate = self._settings.frame_rate
        # The WebP encoder gives everything back in one packet at the end.
        one_packet = self._settings.format.muxer == "webp"
        if self._settings.format.muxer == "gif":
            frames = with_palettes(frames, self._settings.quality, self._alpha)
        sent = finished = 0
        for frame in frames:
            if self._native is not None:
                frame = frame.reformat(format=self._native)
            finished += self._encode(frame)
            sent += 1
            if self._track is not None:
                for packet in self._track.until(sent / rate):
                    self._container.mux(packet)
            yield sent if one_packet else finished
        for packet in self._stream.codec_context.encode_lazy(None):
            self._mux(packet)
            finished += 1
            yield sent if one_packet else finished
        if self._track is not None:
            for packet in self._track.rest():
                self._container.mux(packet)

    def _encode(self, frame: av.VideoFrame) -> int:
        packets = 0
        for packet in self._stream.codec_context.encode_lazy(frame):
            self._mux(packet)
            packets += 1
        return packets

    def _mux(self, packet: Any) -> None:
        if self._encoder.name == "libx265" and not 0 <= packet.pts - packet.dts <= _MOST_REORDERED:
            # Of fewer frames than it reorders, one or two, x265 leaves the decoding times unset.
            packet.dts = packet.pts
        packet.stream = self._stream
        self._container.mux(packet)

    def close(self) -> None:
        self._container.close()
        if self._settings.format.muxer == "webp":
            metadata.add_to_webp(self._file, self._tags)
        elif self._settings.format.muxer == "apng":
            with self._file.open("r+b") as stream:
                metadata.add_to_png(stream, self._tags)

    def abandon(self) -> None:
        let_go(self._container)


class PictureWriter:
    """A folder of numbered PNG files; the first carries the tags."""

    def __init__(self, folder: Path, pixel_format: str, size: tuple[int, int], stem: str, tags: Mapping[str, str]) -> None:
        from av.codec import CodecContext

        self._folder, self._stem, self._tags = folder, stem, tags
        self._context: Any = CodecContext.create("png", "w")
        self._context.width, self._context.height = size
        self._context.pix_fmt = pixel_format
        self._context.time_base = Fraction(1)

    def write(self, frames: Iterator[av.VideoFrame]) -> Iterator[int]:
        finished = 0
        for frame in frames:
            for packet in self._context.encode_lazy(frame):
                finished += 1
                self._save(finished, bytes(packet))
            yield finished
        for packet in self._context.encode_lazy(None):
            finished += 1
            self._save(finished, bytes(packet))
            yield finished

    def _save(self, number: int, picture: bytes) -> None:
        if number == 1 and self._tags:
            stream = io.BytesIO(picture)
            metadata.add_to_png(stream, self._tags)
            picture = stream.getvalue()
        with (self._folder / picture_name(self._stem, number)).open("xb") as file:
            file.write(picture)

    def close(self) -> None:
        """Every picture is closed as it is written."""

    def abandon(self) -> None:
        """Nothing is open between two pictures."""


def picture_name(stem: str, number: int) -> str:
    """The file name of picture `number`, counted from 1."""
    return f"{stem}{number:06d}.png"


def _loop_value(muxer: str, plays: int) -> int:
    """How a muxer writes a number of plays (0: for ever). GIF counts the repetitions after the first, and -1 is none."""
    if muxer != "gif" or plays == 0:
        return plays
    return plays - 1 if plays > 1 else -1
