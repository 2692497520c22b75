"""From RGB floats to the planes an encoder takes, exactly.

The matrix is ITU-R BT.709 (Rec. ITU-R BT.709-6, items 3.2 to 3.5), limited range: luma 16..235 and chroma 16..240 at 8 bits, times
four at 10 bits. Chroma of 4:2:0 is the mean of 2x2 pixels, that is centre-sited, and the files are tagged so.

Every sample is computed from the floats and rounded once, so the error is half a code value at any bit depth. swscale would round
to 8 bits first, or add 1.7 codes to luma at 10 bits. One pass over row tiles that stay in the L2 cache costs no more than rounding
to bytes and converting those.

The products go row by row. OpenBLAS would share a larger one (from 262144 multiplications, rows of 10922 pixels here) among threads of
its own, which compete with the encoder's and cost many times as much as they save.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av
    from numpy.typing import DTypeLike, NDArray

    Floats = NDArray[np.float32]

KR, KB = 0.2126, 0.0722
"""Luma weights of red and blue (BT.709-6, item 3.2)."""

LUMA = np.array([KR, 1 - KR - KB, KB])
CHROMA_BLUE = (np.array([0, 0, 1]) - LUMA) / (2 * (1 - KB))
CHROMA_RED = (np.array([1, 0, 0]) - LUMA) / (2 * (1 - KR))

# Pixels per tile: what is made of a tile stays in the cache, and each tile costs some twenty calls of numpy, 10 to 20 us in all.
_TILE_PIXELS = 98304

_ZERO, _ONE = np.float32(0), np.float32(1)
_ONE_BITS = _ONE.view(np.uint32)


@dataclass(frozen=True)
class PixelLayout:
    """What a pixel format of FFmpeg holds."""

    family: str
    """`yuv` (planes), `gbr` (planes) or packed channel letters such as `bgra`; `0` is a channel of zeros."""
    depth: int = 8
    across: int = 1
    """Pixels that share a chroma sample horizontally."""
    down: int = 1
    alpha: bool = False


LAYOUTS = {
    "yuv420p": PixelLayout("yuv", across=2, down=2),
    "yuv420p10le": PixelLayout("yuv", depth=10, across=2, down=2),
    "yuva420p": PixelLayout("yuv", across=2, down=2, alpha=True),
    "yuv422p10le": PixelLayout("yuv", depth=10, across=2),
    "yuv444p10le": PixelLayout("yuv", depth=10),
    "yuva444p10le": PixelLayout("yuv", depth=10, alpha=True),
    "gbrp10le": PixelLayout("gbr", depth=10),
    "gbrap10le": PixelLayout("gbr", depth=10, alpha=True),
    "bgr0": PixelLayout("bgr0"),
    "bgra": PixelLayout("bgra", alpha=True),
    "rgb24": PixelLayout("rgb"),
    "rgba": PixelLayout("rgba", alpha=True),
}
"""Every pixel format this pack writes."""


class Converter:
    """Converts frames [H, W, 3 or 4] of float32 0..1 to one pixel format. May be called from several threads at once.

    4:2:0 and 4:2:2 need even sides: an odd side is extended by repeating its last row or column. `width` and `height` are the sides
    of the result.
    """

    def __init__(self, pixel_format: str, height: int, width: int) -> None:
        self.pixel_format = pixel_format
        self.layout = LAYOUTS[pixel_format]
        self.height = height + height % self.layout.down
        self.width = width + width % self.layout.across
        across, step = self.layout.across, self.layout.down
        self._rows = max(step, _TILE_PIXELS // self.width // step * step)
        self._local = threading.local()
        peak = 2 ** (self.layout.depth - 8)
        self._luma = (LUMA * 219 * peak).astype(np.float32)
        self._luma_offset = np.float32(16 * peak + 0.5)
        # One product makes several chroma samples of both planes at once: BLAS computes in steps of four or eight columns, and a product
        # as narrow as one sample costs half as much again.
        self._samples = next(count for count in (4, 2, 1) if self.width // across % count == 0)
        weights = np.tile(np.stack((CHROMA_BLUE, CHROMA_RED)) * 224 * peak / (across * step), across)
        self._chroma = np.hstack([np.kron(np.eye(self._samples), row[:, None]) for row in weights]).astype(np.float32)
        self._chroma_offset = np.float32(128 * peak + 0.5)
        self._full = np.float32(2**self.layout.depth - 1)

    def __call__(self, pixels: Floats) -> tuple[av.VideoFrame, bool]:
        """The frame, and whether it held values that are not numbers (they become black)."""
        import av

        missing_rows, missing_columns = self.height - pixels.shape[0], self.width - pixels.shape[1]
        if missing_rows or missing_columns:
            pixels = np.pad(pixels, ((0, missing_rows), (0, missing_columns), (0, 0)), mode="edge")
        frame = av.VideoFrame(self.width, self.height, self.pixel_format)
        channels = 1 if self.layout.family in ("yuv", "gbr") else len(self.layout.family)
        planes = [_samples(plane, self.layout.depth, channels) for plane in frame.planes]
        if self.layout.family == "yuv":
            broken = self._to_yuv(pixels, planes)
            _tag(frame)
        elif self.layout.family == "gbr":
            broken = self._to_gbr(pixels, planes)
        else:
            broken = self._to_packed(pixels, planes[0])
        return frame, broken

    def _scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """A buffer of this thread, kept between frames: fresh ones cost a page fault per 4 KB."""
        buffer = getattr(self._local, name, None)
        if buffer is None or buffer.shape != shape:
            buffer = np.empty(shape, dtype)
            setattr(self._local, name, buffer)
        return buffer

    def _to_yuv(self, pixels: Floats, planes: list[NDArray[Any]]) -> bool:
        broken = False
        down, width = self.layout.down, self.width
        inputs, outputs = self._chroma.shape
        columns = width * 3 // inputs
        clipped = self._scratch("clipped", (self._rows, width, 3))
        lumas = self._scratch("luma", (self._rows, width))
        sums = self._scratch("sums", (self._rows // down, width, 3))
        chromas = self._scratch("chroma", (self._rows // down, columns, outputs))
        codes = self._scratch("codes", chromas.shape, planes[0].dtype)
        # One integer holds the codes of one plane in a row of the product.
        word = np.dtype(f"u{self._samples * codes.itemsize}")
        blue, red = planes[1].view(word), planes[2].view(word)
        for top in range(0, self.height, self._rows):
            bottom = min(top + self._rows, self.height)
            tile = pixels[top:bottom]
            if not _within_bounds(tile):
                tile = np.clip(tile[..., :3], _ZERO, _ONE, out=clipped[: bottom - top])
                if np.isnan(tile.max()):
                    broken = True
                    np.nan_to_num(tile, copy=False, nan=0.0)
            luma = np.matmul(tile, self._luma, out=lumas[: bottom - top])
            luma += self._luma_offset
            planes[0][top:bottom] = luma

            top, bottom = top // down, bottom // down
            if down == 2:
                tile = np.add(tile[0::2], tile[1::2], out=sums[: bottom - top])
            chroma = np.matmul(tile.reshape(-1, columns, inputs), self._chroma, out=chromas[: bottom - top])
            chroma += self._chroma_offset
            codes[: bottom - top] = chroma
            words = codes[: bottom - top].view(word)
            blue[top:bottom], red[top:bottom] = words[..., 0], words[..., 1]
        if self.layout.alpha:
            self._full_range(_alpha(pixels), planes[3])
        return broken

    def _to_gbr(self, pixels: Floats, planes: list[NDArray[Any]]) -> bool:
        broken = [self._full_range(pixels[..., channel], planes[at]) for at, channel in enumerate((1, 2, 0))]
        if self.layout.alpha:
            self._full_range(_alpha(pixels), planes[3])
        return any(broken)

    def _to_packed(self, pixels: Floats, plane: NDArray[Any]) -> bool:
        letters = self.layout.family
        picture = np.lib.stride_tricks.as_strided(plane, (self.height, self.width, len(letters)), (plane.strides[0], len(letters), 1))
        broken = False
        for at, letter in enumerate(letters):
            if letter == "0":
                picture[..., at] = 0
            elif letter == "a":
                self._full_range(_alpha(pixels), picture[..., at])
            else:
                broken |= self._full_range(pixels[..., "rgb".index(letter)], picture[..., at])
        return broken

    def _full_range(self, channel: Floats, target: NDArray[Any]) -> bool:
        """Write one channel as 0..2**depth-1."""
        values = np.clip(channel, _ZERO, _ONE, out=self._scratch("channel", (self.height, self.width)))
        broken = bool(np.isnan(values.max()))
        if broken:
            np.nan_to_num(values, copy=False, nan=0.0)
        np.multiply(values, self._full, out=values)
        np.add(values, np.float32(0.5), out=values)
        np.copyto(target, values, casting="unsafe")
        return broken


def _within_bounds(tile: Floats) -> bool:
    """Whether the tile is whole RGB with every value a number from 0 to 1.

    Read as unsigned integers, floats from +0 to 1 are ordered as they are and everything else (negative, above 1, infinite, NaN) is larger
    than 1: so a single pass tells, at half the cost of clipping.
    """
    return tile.shape[-1] == 3 and tile.flags.c_contiguous and bool(tile.view(np.uint32).max() <= _ONE_BITS)


def _tag(frame: av.VideoFrame) -> None:
    """BT.709, limited range, on the frame itself: the ProRes encoder reads them there alone. PyAV 14 cannot set the last two."""
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        if hasattr(frame, name):
            setattr(frame, name, 1)


def _alpha(pixels: Floats) -> Floats:
    return pixels[..., 3] if pixels.shape[-1] == 4 else np.ones(pixels.shape[:2], np.float32)


def _samples(plane: Any, depth: int, channels: int) -> NDArray[Any]:
    """A plane's memory as [rows, width * channels], without the padding at the end of each line."""
    dtype = np.dtype(np.uint8 if depth == 8 else np.uint16)
    stride = plane.line_size // dtype.itemsize
    lines = np.frombuffer(plane, dtype)[: stride * plane.height].reshape(plane.height, stride)
    return lines[:, : plane.width * channels]
