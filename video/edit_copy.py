"""Sections of coded files put behind one another without decoding them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

from .edit_sections import Section
from .packets import demuxed

_CLOCK = 12288
"""Ticks a second of an MP4 file's clock, about: what FFmpeg chooses at 24 frames a second."""


def options(muxer: str, rate: Fraction) -> dict[str, str]:
    """The muxer's options for frames that last whole ticks of the file's clock."""
    if muxer not in ("mp4", "mov"):
        return {}
    return {"video_track_timescale": str(rate.numerator * max(1, _CLOCK // rate.numerator))}


def add_stream(container: Any, like: Section, rate: Fraction) -> Any:
    """A new stream of `container` that takes the packets of `copied`."""
    import av

    assert like.source is not None
    with av.open(str(like.source.file)) as source:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)  # there may be no encoder
    stream.rate = rate
    return stream


def copied(sections: Sequence[Section], stream: Any, rate: Fraction) -> Iterator[Any]:
    """Packets of the whole result for a stream of `add_stream`, in the order in which they are decoded. All sections have a source.

    They are stamped anew, a frame apart: the delays of several files' own time stamps need not meet where the files do.
    """
    import av

    delay = max(section.source.delay for section in sections if section.source is not None)
    for section in sections:
        assert section.source is not None
        shift = section.start - section.first
        with av.open(str(section.source.file)) as container:
            for number, packet in islice(enumerate(demuxed(container)), section.first, section.end - shift):
                packet.pts = section.source.shown[number] + shift
                packet.dts = number + shift - delay
                packet.duration = 1
                packet.time_base = 1 / rate
                packet.stream = stream
                yield packet
