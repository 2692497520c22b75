"""The order in which frames are shown: forwards, there and back, several times; with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    import av


def play_order(frame_count: int, *, ping_pong: bool, times: int) -> list[int]:
    """Indices of the frames to show. Ping-pong shows neither end twice, so that the clip loops evenly."""
    once = list(range(frame_count))
    if ping_pong:
        once += range(frame_count - 2, 0, -1)
    return once * times


class Spool:
    """Finished frames on disk, for sources that give each frame once and in order.

    `file` is an open temporary file (read and write).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._shape: tuple[int, int, str] | None = None
        self._sizes: list[int] = []

    def keep(self, frame: av.VideoFrame) -> None:
        """Append a frame; all frames must have the same size and format."""
        if self._shape is None:
            self._shape = (frame.width, frame.height, frame.format.name)
            self._sizes = [plane.buffer_size for plane in frame.planes]
        self._file.seek(0, 2)
        for plane in frame.planes:
            self._file.write(memoryview(plane))

    def frame(self, index: int) -> av.VideoFrame:
        """A copy of the frame that was kept as number `index`."""
        import av

        assert self._shape is not None
        frame = av.VideoFrame(*self._shape)
        self._file.seek(index * sum(self._sizes))
        for plane, size in zip(frame.planes, self._sizes, strict=True):
            np.frombuffer(memoryview(plane), np.uint8)[:] = np.frombuffer(self._file.read(size), np.uint8)
        return frame


def in_order(frames: Iterator[av.VideoFrame], order: list[int], spool: Spool) -> Iterator[av.VideoFrame]:
    """`frames` once as they come, then the rest of `order` from the spool."""
    count = 0
    for frame in frames:
        spool.keep(frame)
        count += 1
        yield frame
    for index in order[count:]:
        yield spool.frame(index)
