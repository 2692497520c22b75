"""The frames of animated pictures that FFmpeg does not read: before 8.1 it knows no animated WebP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .info import read_info

if TYPE_CHECKING:
    import torch
    from PIL import Image

UNTIMED_RATE = Fraction(10)
"""Frames per second where a file gives its frames no time: browsers then show each for 100 ms."""


class WebPFrames:
    """The frames of an animated WebP, decoded as they are asked for: a `FrameSource` with the mean of its frames' rates.

    Raises UserError for a file that is no animated WebP, or is damaged.
    """

    def __init__(self, file: Path) -> None:
        info = read_info(file)
        self._file = file
        self.width, self.height, self.frame_count = info.width, info.height, info.frame_count
        self.frame_rate = info.frame_rate or UNTIMED_RATE
        with _opened(file) as picture:
            self.channels = 4 if picture.mode == "RGBA" else 3

    def chunks(self) -> Iterator[torch.Tensor]:
        """Float tensors [1, height, width, channels] with values 0..1."""
        import numpy as np
        import torch
        from PIL import ImageSequence

        with _opened(self._file) as picture:
            for frame in ImageSequence.Iterator(picture):
                pixels = np.asarray(frame.convert("RGBA" if self.channels == 4 else "RGB"), np.float32) / 255
                yield torch.from_numpy(pixels)[None]

    def audio(self) -> None:
        """A picture has no sound."""


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            yield picture
    except (OSError, EOFError) as error:  # what Pillow raises where it opens or decodes
        raise UserError(f"{file.name} is damaged: a frame of it cannot be decoded.") from error
