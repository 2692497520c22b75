"""Hardware encoders: used only after one has really encoded something on this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

from .formats import Encoder, Format

logger = logging.getLogger(__name__)

# Above the smallest size that any of them takes.
_PROBE_SIDE = 256
_PROBE_FRAMES = 3


def choose(format: Format, pixel_format: str, quality: str, speed: str) -> Encoder:
    """The first hardware encoder of this format that works here, else the software one, with the reason in the log."""
    for encoder in format.hardware:
        options = tuple(sorted(options_of(encoder, quality, speed).items()))
        problem = _probe(encoder.name, encoder.native.get(pixel_format, pixel_format), options)
        if problem is None:
            logger.info("Encoding with %s.", encoder.name)
            return encoder
        logger.debug("%s cannot be used: %s", encoder.name, problem)
    if format.hardware:
        tried = ", ".join(encoder.name for encoder in format.hardware)
        logger.warning("No hardware encoder works here (tried %s); %s is used.", tried, format.encoder.name)
    else:
        logger.warning("%s has no hardware encoder; %s is used.", format.name, format.encoder.name)
    return format.encoder


def options_of(encoder: Encoder, quality: str, speed: str, crf: int | None = None) -> Mapping[str, str]:
    """FFmpeg's options for an encoder at a quality and a speed; `crf` replaces the quality where the encoder has such a number."""
    options = {**encoder.fixed, **encoder.quality.get(quality, {}), **encoder.speed.get(speed, {})}
    if crf is not None and encoder.crf is not None:
        options[encoder.crf] = str(crf)
    return options


@lru_cache(maxsize=64)
def _probe(name: str, pixel_format: str, options: tuple[tuple[str, str], ...]) -> str | None:
    """None when the encoder made packets out of a few frames, else why not."""
    import av
    from av.codec import CodecContext

    try:
        context = CodecContext.create(name, "w")
        context.width = context.height = _PROBE_SIDE  # type: ignore[attr-defined]
        context.pix_fmt = pixel_format  # type: ignore[attr-defined]
        context.time_base = Fraction(1, 24)
        context.options = dict(options)
        packets = 0
        for pts in range(_PROBE_FRAMES):
            frame = av.VideoFrame(_PROBE_SIDE, _PROBE_SIDE, pixel_format)
            frame.pts = pts
            packets += len(context.encode(frame))  # type: ignore[attr-defined]
        packets += len(context.encode(None))  # type: ignore[attr-defined]
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError, ValueError) as error:
        return str(error)
    return None if packets else "no packets came out"
