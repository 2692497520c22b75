"""Clips that an edit list leaves as they are, put behind one another without decoding them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .edits import Clip, Edit

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
class _Kind:
    """What two streams must share to be one."""

    codec: str
    extra: bytes
    pixel_format: str
    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction


def can_be_copied(edit: Edit, settings: Settings) -> bool:
    """Whether the result is whole stretches of files that are already coded as `settings` ask: nothing blended, sped up or resized, each
    clip from a keyframe to a keyframe or the end, all with the same decoder parameters. Quality and speed are those of the files.
    """
    return all(_is_untouched(clip, edit, settings) for clip in edit.clips) and len({_kind(clip.file) for clip in edit.clips}) == 1


def _is_untouched(clip: Clip, edit: Edit, settings: Settings) -> bool:
    info, form = clip.info, settings.format
    as_asked = (
        info.codec == _CODECS.get(form.encoder.name)
        and form.muxer in info.container.split(",")
        and info.pixel_format == form.pixel_formats.get((settings.bit_depth, False))
    )
    as_it_is = (
        not clip.fade
        and clip.speed == 1
        and info.frame_rate == edit.frame_rate == settings.frame_rate
        and (info.width, info.height) == (edit.width, edit.height)
    )
    return as_asked and as_it_is and _packets(clip) is not None


def add_stream(edit: Edit, container: Any) -> Any:
    """A new stream of `container` that takes the packets of `copied`."""
    import av

    with av.open(str(edit.clips[0].file)) as first:
        stream = container.add_stream_from_template(first.streams.video[0], opaque=True)  # there may be no encoder
        stream.time_base = first.streams.video[0].time_base
        return stream


def copied(edit: Edit, stream: Any) -> Iterator[Any]:
    """Packets of the whole result for a stream of `add_stream`, in the order in which they are decoded; `can_be_copied` must hold."""
    import av

    for clip, start in zip(edit.clips, edit.starts(), strict=True):
        wanted = _packets(clip)
        assert wanted is not None
        with av.open(str(clip.file)) as source:
            for packet in islice(_demuxed(source), wanted.start, wanted.stop):
                shift = round((start - clip.first) / edit.frame_rate / Fraction(packet.time_base))
                packet.pts += shift
                if packet.dts is not None:
                    packet.dts += shift
                packet.stream = stream
                yield packet


def _demuxed(source: Any) -> Iterator[Any]:
    return (packet for packet in source.demux(source.streams.video[0]) if packet.size)


def _packets(clip: Clip) -> range | None:
    """Which packets of the file, in decoding order, are exactly the clip's frames; None where they depend on others."""
    import av

    with av.open(str(clip.file)) as source:
        seen = [(packet.pts, packet.is_keyframe) for packet in _demuxed(source)]
    if any(pts is None for pts, _ in seen):
        return None
    order = sorted(range(len(seen)), key=lambda index: seen[index][0])
    begin = order[clip.first]
    end = begin + clip.end - clip.first
    if not seen[begin][1] or (end < len(seen) and not seen[end][1]):
        return None
    return range(begin, end) if sorted(order[clip.first : clip.end]) == list(range(begin, end)) else None


def _kind(file: Path) -> _Kind:
    import av

    with av.open(str(file)) as source:
        stream = source.streams.video[0]
        context = stream.codec_context
        return _Kind(
            context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name,
            bytes(context.extradata or b""),
            context.pix_fmt or "",
            (context.width, context.height),
            Fraction(stream.average_rate or 0),
            Fraction(stream.time_base or 1),
        )
