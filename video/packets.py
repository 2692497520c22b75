"""The packets of a video file: what a decoder must be told before the first of them, and which stretches of them stand alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

_H264, _HEVC = "h264", "hevc"
# NAL unit types of ITU-T H.264, table 7-1, and H.265, table 7-1. An IDR picture empties the decoder's memory; other keyframes need not.
_IDR = {_H264: {5}, _HEVC: {19, 20}}
_PARAMETER_SETS = {_H264: {7, 8}, _HEVC: {32, 33, 34}}
_SEI = {39, 40}  # of H.265: remarks, such as x265's options
# Where the records of ISO/IEC 14496-15 (avcC, hvcC) hold the bytes of a NAL unit's length less one, and the number of what follows: of
# parameter sets, and of arrays of them.
_LENGTH_AT = {_H264: 4, _HEVC: 21}
_COUNT_AT = {_H264: 5, _HEVC: 22}


@dataclass(frozen=True)
class Kind:
    """What two streams must share to be decoded as one."""

    codec: str
    tag: str
    parameters: bytes
    pixel_format: str
    size: tuple[int, int]


@dataclass(frozen=True)
class CodedFile:
    """A file whose frames stand evenly from 0 on. Frames are numbered as they are shown, packets as they are decoded."""

    file: Path
    kind: Kind
    shown: tuple[int, ...]
    """The frame that each packet holds."""
    begins: tuple[int, ...]
    """Frames from which a decoder can start; from there on frames and packets have the same numbers, as at each of `ends`."""
    ends: tuple[int, ...]
    """Frames before which a decoder can stop, the number of frames among them: all before are made of packets before."""

    @property
    def delay(self) -> int:
        """By how many frames the packets must run ahead so that none is shown before it is decoded."""
        return max(packet - frame for packet, frame in enumerate(self.shown))


def coded_file(file: Path) -> CodedFile | None:
    """The packets of a file, read but not decoded. None where frames are not evenly spaced, are hidden, where a packet changes what
    decoders were told, or where that is cut short.
    """
    import av

    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context.codec.canonical_name
        record = bytes(stream.codec_context.extradata or b"")
        rate = Fraction(stream.average_rate or 0)
        if codec in _IDR and (record[:1] != b"\x01" or len(record) <= _COUNT_AT[codec]):
            return None
        times, fresh = [], []
        for packet in demuxed(container):
            if packet.pts is None or packet.is_discard:
                return None
            units = list(_units(bytes(packet), codec, record)) if codec in _IDR else []
            if any(_type(unit, codec) in _PARAMETER_SETS[codec] and unit not in record for unit in units):
                return None
            times.append(packet.pts * Fraction(packet.time_base) * rate)
            fresh.append(any(_type(unit, codec) in _IDR[codec] for unit in units) if units else packet.is_keyframe)
        order = sorted(range(len(times)), key=times.__getitem__)
        if not times or any(abs(times[packet] - frame) >= Fraction(1, 2) for frame, packet in enumerate(order)):
            return None
        shown = [0] * len(times)
        for frame, packet in enumerate(order):
            shown[packet] = frame
        ends, last = [], -1
        for number, frame in enumerate(shown, 1):
            last = max(last, frame)
            if last < number:
                ends.append(number)
        whole = {0, *ends}
        begins = [frame for frame, new in enumerate(fresh) if new and frame in whole and shown[frame] == frame]
        return CodedFile(file, _kind(stream, codec, record), tuple(shown), tuple(begins), tuple(ends))


def demuxed(container: Any) -> Iterator[Any]:
    """The packets of the picture."""
    return (packet for packet in container.demux(container.streams.video[0]) if packet.size)


def _kind(stream: Any, codec: str, record: bytes) -> Kind:
    context = stream.codec_context
    parameters = _without_remarks(record) if codec == _HEVC else record
    return Kind(codec, context.codec_tag, parameters, context.pix_fmt or "", (context.width, context.height))


def _units(data: bytes, codec: str, record: bytes) -> Iterator[bytes]:
    """The NAL units of a packet."""
    length_bytes = (record[_LENGTH_AT[codec]] & 3) + 1
    at = 0
    while at < len(data):
        begin = at + length_bytes
        at = begin + int.from_bytes(data[at:begin], "big")
        if unit := data[begin:at]:
            yield unit


def _type(unit: bytes, codec: str) -> int:
    return unit[0] & 31 if codec == _H264 else unit[0] >> 1 & 63


def _without_remarks(record: bytes) -> bytes:
    """An hvcC record less its SEI messages, which no picture depends on."""
    start = _COUNT_AT[_HEVC]
    kept, at = [record[:start]], start + 1
    for _ in range(record[start]):
        begin, units = at, int.from_bytes(record[at + 1 : at + 3], "big")
        at += 3
        for _ in range(units):
            at += 2 + int.from_bytes(record[at : at + 2], "big")
        if record[begin] & 63 not in _SEI:
            kept.append(record[begin:at])
    return b"".join(kept)
