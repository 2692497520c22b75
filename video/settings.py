"""How a clip is to be saved, checked once, before anything is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from ..errors import UserError
from .formats import FORMATS, QUALITIES, SPEEDS, Format

BIT_DEPTHS = ("auto", "8", "10")
ENCODERS = ("software", "hardware if available")

SLOWEST_RATE, FASTEST_RATE = 0.01, 1000.0
MOST_PLAYS = 100
LONGEST_KEYFRAME_INTERVAL = 1000

# Rates of the NTSC family are 1000/1001 of a whole number (SMPTE ST 12-1); people write them with two or three decimals.
_NTSC_BASES = (24, 30, 48, 60, 120)


@dataclass(frozen=True)
class Settings:
    """How to encode. Build one with `settings_for`, which refuses what cannot be done."""

    format: Format
    frame_rate: Fraction
    quality: str = "high"
    speed: str = "medium"
    bit_depth: int = 8
    crf: int | None = None
    """A rate factor that replaces the one of `quality`, on the scale of the format's software encoder."""
    plays: int = 0
    """0: images loop for ever, video files hold the clip once. n: images play n times, video files hold the clip n times."""
    ping_pong: bool = False
    keyframe_interval: int = 0
    """Frames; 0 leaves it to the encoder."""
    hardware: bool = False


def frame_rate(value: object) -> Fraction:
    """A frame rate in frames per second as an exact fraction: 23.976 is 24000/1001, 12.5 is 25/2, "30000/1001" is itself.

    Raises UserError for anything outside 0.01 to 1000, and for what is not a number.
    """
    try:
        rate = Fraction(value) if isinstance(value, str | int | Fraction) else Fraction(float(value))  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise UserError(f"The frame rate must be a number such as 24 or 29.97; it is {str(value)[:40]!r}.") from error
    if not SLOWEST_RATE <= rate <= FASTEST_RATE:
        shown = str(value)[:40]
        raise UserError(f"The frame rate must lie between {SLOWEST_RATE} and {FASTEST_RATE:g}; it is {shown}.")
    for base in _NTSC_BASES:
        exact = Fraction(base * 1000, 1001)
        if abs(rate - exact) < Fraction(6, 1000):
            return exact
    return rate.limit_denominator(1001)


def settings_for(
    format_name: str,
    rate: object,
    *,
    quality: str = "high",
    speed: str = "medium",
    bit_depth: str = "auto",
    crf: int | None = None,
    plays: int = 0,
    ping_pong: bool = False,
    keyframe_interval: int = 0,
    encoder: str = "software",
) -> Settings:
    """Check every choice and return the settings. Raises UserError with one sentence about the first that is wrong."""
    _one_of("format", format_name, tuple(FORMATS))
    _one_of("quality", quality, QUALITIES)
    _one_of("speed", speed, SPEEDS)
    _one_of("bit_depth", bit_depth, BIT_DEPTHS)
    _one_of("encoder", encoder, ENCODERS)
    chosen = FORMATS[format_name]
    depth = chosen.depths[0] if bit_depth == "auto" else int(bit_depth)
    if depth not in chosen.depths:
        able = ", ".join(name for name, other in FORMATS.items() if depth in other.depths)
        raise UserError(f"{format_name} has no {depth} bit variant; choose bit depth auto, or one of: {able}.")
    exact = frame_rate(rate)
    if chosen.highest_rate is not None and exact > chosen.highest_rate:
        raise UserError(f"{format_name} shows at most {chosen.highest_rate} frames per second; lower the frame rate or choose webp or mp4.")
    return Settings(
        format=chosen,
        frame_rate=exact,
        quality=quality,
        speed=speed,
        bit_depth=depth,
        crf=None if crf is None else _whole("crf", crf, 0, 63),
        plays=_whole("loop_count", plays, 0, MOST_PLAYS),
        ping_pong=bool(ping_pong),
        keyframe_interval=_whole("keyframe_interval", keyframe_interval, 0, LONGEST_KEYFRAME_INTERVAL),
        hardware=encoder == ENCODERS[1],
    )


def _one_of(what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{str(value)[:60]!r} is no {what}; choose one of: {', '.join(choices)}.")


def _whole(what: str, value: object, low: int, high: int) -> int:
    if isinstance(value, int | float) and math.isfinite(value) and value == int(value) and low <= value <= high:
        return int(value)
    raise UserError(f"{what} must be a whole number from {low} to {high}; it is {str(value)[:40]}.")
