"""The file formats: what goes into which container with which encoder and options.

Every encoder option comes from these tables; nothing a workflow holds reaches FFmpeg as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

QUALITIES = ("low", "medium", "high", "very high")
SPEEDS = ("ultrafast", "veryfast", "fast", "medium", "slow", "veryslow")

TAGS = {
    "colorspace": "bt709",
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "color_range": "tv",
}
"""How the planes of `colour.py` are to be read (names of FFmpeg's AVCodecContext options)."""


@dataclass(frozen=True)
class Encoder:
    """One encoder of FFmpeg and how our words map to its options."""

    name: str
    quality: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    speed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    crf: str | None = None
    """Its option for a constant rate factor given as a number."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    native: Mapping[str, str] = field(default_factory=dict)
    """Pixel formats it wants in place of ours with the same samples."""


@dataclass(frozen=True)
class Format:
    """One choice of the node's `format` menu."""

    name: str
    extension: str
    muxer: str
    mime: str
    encoder: Encoder
    pixel_formats: Mapping[tuple[int, bool], str]
    """(bits, with alpha) -> FFmpeg pixel format."""
    hardware: tuple[Encoder, ...] = ()
    audio: str | None = None
    """FFmpeg's name of the sound encoder; None where the format holds no sound."""
    codec_tag: str | None = None
    muxer_options: Mapping[str, str] = field(default_factory=dict)
    loop: str | None = None
    """The muxer's option for the number of plays; None for video files, which repeat frames instead."""
    longest_side: int = 16384
    shortest_side: int = 1
    highest_rate: int | None = None
    keyframes: bool = False
    """Whether a keyframe interval means something."""
    readable: bool = True
    """Whether ComfyUI can read the file back as VIDEO."""

    @property
    def depths(self) -> list[int]:
        return sorted({bits for bits, _ in self.pixel_formats})

    @property
    def keeps_alpha(self) -> bool:
        return any(alpha for _, alpha in self.pixel_formats)


def _levels(option: str, *values: object) -> dict[str, dict[str, str]]:
    return {quality: {option: str(value)} for quality, value in zip(QUALITIES, values, strict=True)}


def _speeds(option: str, *values: object) -> dict[str, dict[str, str]]:
    return {speed: {option: str(value)} for speed, value in zip(SPEEDS, values, strict=True)}


_MOV_FLAGS = {"movflags": "use_metadata_tags+faststart"}
_YUV_8_10 = {(8, False): "yuv420p", (10, False): "yuv420p10le"}
_CENTRED = {**TAGS, "chroma_sample_location": "center"}

# Rate factors: x264's 19 looks like the source on a desktop screen; the other encoders' values give about the same impression.
_X264 = Encoder(
    "libx264",
    _levels("crf", 28, 23, 19, 14),
    _speeds("preset", *SPEEDS),
    "crf",
    # stitchable: decoders are told the same whatever the rate factor, so that parts of other files can stand in this one.
    {**_CENTRED, "x264-params": "stitchable=1"},
)
_X265 = Encoder(
    "libx265",
    _levels("crf", 30, 26, 22, 17),
    _speeds("preset", *SPEEDS),
    "crf",
    # Closed groups of pictures can be cut at every keyframe.
    {**_CENTRED, "x265-params": "log-level=error:open-gop=0"},
)
_SVT_AV1 = Encoder("libsvtav1", _levels("crf", 45, 35, 28, 20), _speeds("preset", 12, 10, 9, 8, 6, 4), "crf", TAGS)
_VP9 = Encoder(
    "libvpx-vp9",
    _levels("crf", 42, 34, 28, 20),
    {
        "ultrafast": {"deadline": "realtime", "cpu-used": "8"},
        "veryfast": {"deadline": "realtime", "cpu-used": "6"},
        "fast": {"deadline": "good", "cpu-used": "5"},
        "medium": {"deadline": "good", "cpu-used": "3"},
        "slow": {"deadline": "good", "cpu-used": "2"},
        "veryslow": {"deadline": "good", "cpu-used": "1"},
    },
    "crf",
    # b=0: quality alone decides the rate. VP9 cannot hide alternate reference frames and carry alpha at once.
    {**TAGS, "b": "0", "row-mt": "1", "tile-columns": "2", "auto-alt-ref": "0"},
)

_NVENC_SPEED = _speeds("preset", "p1", "p2", "p4", "p5", "p6", "p7")
_NVENC_10_BIT = {"yuv420p10le": "p010le"}
_NV12 = {"yuv420p": "nv12", "yuv420p10le": "p010le"}


def _hardware(codec: str, quality: tuple[int, int, int, int]) -> tuple[Encoder, ...]:
    low, medium, high, highest = quality
    amf = {name: {"rc": "cqp", "qp_i": str(value), "qp_p": str(value)} for name, value in zip(QUALITIES, quality, strict=True)}
    return (
        Encoder(
            f"{codec}_nvenc",
            _levels("cq", low, medium, high, highest),
            _NVENC_SPEED,
            "cq",
            {**TAGS, "rc": "vbr", "b": "0"},
            _NVENC_10_BIT,
        ),
        Encoder(f"{codec}_qsv", _levels("global_quality", low, medium, high, highest), {}, None, TAGS, _NV12),
        Encoder(f"{codec}_amf", amf, {}, None, TAGS, _NV12),
        # VideoToolbox counts upwards from 0 to 100 in steps of FF_QP2LAMBDA (118).
        Encoder(
            f"{codec}_videotoolbox",
            _levels("global_quality", 40 * 118, 55 * 118, 65 * 118, 80 * 118),
            {},
            None,
            {**TAGS, "flags": "+qscale"},
            _NV12,
        ),
    )


_PRORES_422 = Encoder("prores_ks", _levels("profile", 0, 1, 2, 3), fixed={**TAGS, "vendor": "apl0"})
_PRORES_4444 = Encoder("prores_ks", _levels("profile", 4, 4, 4, 5), fixed={**TAGS, "vendor": "apl0", "alpha_bits": "16"})
_FFV1 = Encoder("ffv1", fixed={"level": "3", "slicecrc": "1", "g": "1"})
_WEBP_SPEED = _speeds("compression_level", 0, 1, 2, 4, 5, 6)
_RGB = {(8, False): "rgb24", (8, True): "rgba"}

FORMATS = {
    entry.name: entry
    for entry in (
        Format(
            "mp4 (h264)", "mp4", "mp4", "video/mp4", _X264, _YUV_8_10, _hardware("h264", (32, 27, 22, 17)), "aac",
            muxer_options=_MOV_FLAGS, keyframes=True,
        ),
        Format(
            "mp4 (h265)", "mp4", "mp4", "video/mp4", _X265, _YUV_8_10, _hardware("hevc", (32, 27, 23, 18)), "aac",
            # Apple's players open HEVC only under the tag hvc1.
            codec_tag="hvc1", muxer_options=_MOV_FLAGS, keyframes=True, shortest_side=16,
        ),
        Format(
            "mp4 (av1)", "mp4", "mp4", "video/mp4", _SVT_AV1, _YUV_8_10, _hardware("av1", (45, 35, 28, 20)), "aac",
            muxer_options=_MOV_FLAGS, keyframes=True, shortest_side=64,
        ),
        Format(
            "webm (vp9)", "webm", "webm", "video/webm", _VP9, {(8, False): "yuv420p", (8, True): "yuva420p"},
            audio="libopus", keyframes=True,
        ),
        Format(
            "webm (av1)", "webm", "webm", "video/webm", _SVT_AV1, _YUV_8_10, _hardware("av1", (45, 35, 28, 20)), "libopus",
            keyframes=True, shortest_side=64,
        ),
        Format(
            "mov (ProRes 422)", "mov", "mov", "video/quicktime", _PRORES_422, {(10, False): "yuv422p10le"}, audio="pcm_s16le",
            muxer_options=_MOV_FLAGS,
        ),
        Format(
            "mov (ProRes 4444)", "mov", "mov", "video/quicktime", _PRORES_4444,
            {(10, False): "yuv444p10le", (10, True): "yuva444p10le"}, audio="pcm_s16le", muxer_options=_MOV_FLAGS,
        ),
        Format(
            "mkv (ffv1)", "mkv", "matroska", "video/x-matroska", _FFV1,
            {(8, False): "bgr0", (8, True): "bgra", (10, False): "gbrp10le", (10, True): "gbrap10le"}, audio="flac",
        ),
        # A frame of a GIF lasts whole hundredths of a second, and browsers slow anything under two of them down to ten.
        Format(
            "gif", "gif", "gif", "image/gif", Encoder("gif"), {(8, False): "bgra", (8, True): "bgra"}, loop="loop", highest_rate=50,
        ),
        Format(
            "webp", "webp", "webp", "image/webp",
            Encoder("libwebp_anim", _levels("quality", 50, 70, 85, 95), _WEBP_SPEED), {(8, False): "bgra", (8, True): "bgra"},
            loop="loop", longest_side=16383, readable=False,
        ),
        Format(
            "webp (lossless)", "webp", "webp", "image/webp",
            Encoder("libwebp_anim", {}, _WEBP_SPEED, fixed={"lossless": "1"}), {(8, False): "bgra", (8, True): "bgra"},
            loop="loop", longest_side=16383, readable=False,
        ),
        Format("apng", "png", "apng", "image/apng", Encoder("apng"), _RGB, loop="plays"),
        Format("png sequence", "png", "", "image/png", Encoder("png"), _RGB, readable=False),
    )
}  # fmt: skip
"""By the names that the node's menu shows."""
