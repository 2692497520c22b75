"""What a video file holds, read back from the file itself."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ..errors import UserError

# Values of FFmpeg's enums AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic, which are those of ITU-T H.273.
_MATRICES = {0: "rgb", 1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc"}
_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020"}
_TRANSFERS = {1: "bt709", 6: "smpte170m", 13: "iec61966-2-1", 16: "smpte2084", 18: "arib-std-b67"}
_RANGES = {1: "limited", 2: "full"}


@dataclass(frozen=True)
class AudioInfo:
    codec: str
    sample_rate: int
    channels: int
    seconds: Fraction


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one file; frames are counted, not estimated."""

    container: str
    codec: str
    width: int
    height: int
    pixel_format: str
    frame_rate: Fraction
    frame_count: int
    matrix: str = "unspecified"
    primaries: str = "unspecified"
    transfer: str = "unspecified"
    range: str = "unspecified"
    audio: AudioInfo | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> Fraction:
        return self.frame_count / self.frame_rate if self.frame_rate else Fraction(0)


def read_info(file: Path, *, name: str | None = None) -> VideoInfo:
    """Facts about a video file or an animated image. Counts frames by reading every packet, and decodes the first.

    `name` stands for the file in messages. Raises UserError for what cannot be read as a video.
    """
    import av

    shown = name or file.name
    if not file.is_file():
        raise UserError(f"{shown} does not exist.")
    with file.open("rb") as stream:
        if stream.read(12)[8:] == b"WEBP":
            return _webp(file)
    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                raise UserError(f"{shown} holds no picture stream.")
            video = container.streams.video[0]
            sound = container.streams.audio[0] if container.streams.audio else None
            frames, samples_end = 0, Fraction(0)
            decoded = False
            for packet in container.demux():
                if packet.size == 0:
                    continue
                if packet.stream.index == video.index:
                    frames += 1
                    decoded = decoded or bool(packet.decode())
                elif sound is not None and packet.stream.index == sound.index and packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * Fraction(sound.time_base or 0)
                    samples_end = max(samples_end, end)
            decoded = decoded or bool(video.codec_context.decode(None))
            if not decoded:
                raise UserError(f"{shown} holds no frame that can be decoded.")
            context = video.codec_context
            return VideoInfo(
                container=container.format.name,
                codec=context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name,
                width=context.width,
                height=context.height,
                pixel_format=context.pix_fmt or "unknown",
                frame_rate=Fraction(video.average_rate or 0),
                frame_count=frames,
                matrix=_MATRICES.get(int(context.colorspace), "unspecified"),
                primaries=_PRIMARIES.get(int(context.color_primaries), "unspecified"),
                transfer=_TRANSFERS.get(int(context.color_trc), "unspecified"),
                range=_RANGES.get(int(context.color_range), "unspecified"),
                audio=None if sound is None else AudioInfo(sound.codec_context.name, sound.rate, sound.channels, samples_end),
                tags={key.lower(): value for key, value in container.metadata.items()},
            )
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{shown} cannot be read as a video: it is damaged, unfinished or of another kind.") from error


def _webp(file: Path) -> VideoInfo:
    """An animated WebP by its RIFF chunks, because FFmpeg before 8.1 cannot read one."""
    size, frames, milliseconds, tags = (0, 0), 0, 0, dict[str, str]()
    with file.open("rb") as stream:
        _, length = struct.unpack("<4sI", stream.read(8))
        if length + 8 != file.stat().st_size:
            raise UserError(f"{file.name} is incomplete.")
        stream.seek(12)
        while len(head := stream.read(8)) == 8:
            kind, length = struct.unpack("<4sI", head)
            start = stream.tell()
            if kind == b"VP8X":
                body = stream.read(10)
                size = (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
            elif kind == b"ANMF":
                frames += 1
                milliseconds += int.from_bytes(stream.read(15)[12:15], "little")
            elif kind == b"EXIF":
                text = stream.read(length).decode("latin-1")
                tags = {key: "" for key in ("prompt", "workflow") if f"{key}:" in text}
            stream.seek(start + length + length % 2)
    if not frames:
        raise UserError(f"{file.name} is a still image, not a video.")
    rate = Fraction(1000 * frames, milliseconds) if milliseconds else Fraction(0)
    return VideoInfo("webp", "webp", *size, "bgra", rate, frames, tags=tags)
