"""From the planes of a decoded frame back to RGB floats: the inverse of `colour.py`, so that saving what was loaded shifts no colour.

swscale's fast paths are up to one and a half codes too dark here, and PyAV 14 reads every file by the BT.601 matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

# Luma weights of red and blue by ITU-T H.273 matrix coefficients: BT.709, BT.470BG and SMPTE 170M (both BT.601), BT.2020.
_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
# Untagged files are read by BT.601, as FFmpeg reads them and ComfyUI's own nodes write them.
_UNTAGGED = _WEIGHTS[6]
_FULL_RANGE = 2
_SEMI_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}


def rgb_of(frame: av.VideoFrame) -> NDArray[np.float32]:
    """A decoded frame as [height, width, 3], or 4 with alpha, float32 0..1. Chroma samples stand for the pixels that share them."""
    if frame.format.name in _SEMI_PLANAR:
        frame = frame.reformat(format=_SEMI_PLANAR[frame.format.name])
    name = frame.format.name
    depth = frame.format.components[0].bits
    if name.startswith("yuv") and (depth == 8 or name.endswith("le")):
        return _from_planes(frame, depth)
    alpha = has_alpha(name)
    layout = {(False, False): "rgb24", (False, True): "rgba", (True, False): "rgb48le", (True, True): "rgba64le"}[depth > 8, alpha]
    pixels: NDArray[Any] = frame.to_ndarray(format=layout)
    scaled: NDArray[np.float32] = pixels.astype(np.float32) * np.float32(1 / (65535 if depth > 8 else 255))
    return scaled


def has_alpha(pixel_format: str) -> bool:
    """Whether a pixel format of FFmpeg carries transparency."""
    return pixel_format.startswith(("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya", "pal8"))


def _from_planes(frame: av.VideoFrame, depth: int) -> NDArray[np.float32]:
    height, width = frame.height, frame.width
    kr, kb = _WEIGHTS.get(int(frame.colorspace), _UNTAGGED)
    kg = 1 - kr - kb
    peak = float(2**depth - 1)
    if frame.format.name.startswith("yuvj") or int(frame.color_range) == _FULL_RANGE:
        black, luma_span, chroma_span = 0.0, peak, peak
    else:
        unit = 2.0 ** (depth - 8)
        black, luma_span, chroma_span = 16 * unit, 219 * unit, 224 * unit
    middle = 2.0 ** (depth - 1)
    luma, blue, red = (_plane(frame, index, depth) for index in range(3))
    luma = (luma - np.float32(black)) * np.float32(1 / luma_span)
    across, down = -(-width // blue.shape[1]), -(-height // blue.shape[0])
    chroma = [
        ((plane - np.float32(middle)) * np.float32(1 / chroma_span)).repeat(down, axis=0).repeat(across, axis=1)[:height, :width]
        for plane in (blue, red)
    ]
    alpha = has_alpha(frame.format.name)
    picture = np.empty((height, width, 4 if alpha else 3), np.float32)
    picture[..., 0] = luma + np.float32(2 * (1 - kr)) * chroma[1]
    picture[..., 1] = luma - np.float32(2 * kb * (1 - kb) / kg) * chroma[0] - np.float32(2 * kr * (1 - kr) / kg) * chroma[1]
    picture[..., 2] = luma + np.float32(2 * (1 - kb)) * chroma[0]
    if alpha:
        picture[..., 3] = _plane(frame, 3, depth) * np.float32(1 / peak)
    return np.clip(picture, 0, 1, out=picture)


def _plane(frame: av.VideoFrame, index: int, depth: int) -> NDArray[np.float32]:
    plane: Any = frame.planes[index]
    samples = np.frombuffer(plane, np.uint8 if depth == 8 else np.dtype("<u2"))
    stride = plane.line_size // samples.itemsize
    return samples[: stride * plane.height].reshape(plane.height, stride)[:, : plane.width].astype(np.float32)
