"""The samples that reach the encoder, against the BT.709 formula in float64."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
import torch
from advanced_models.video.colour import LAYOUTS, Converter
from advanced_models.video.decode import rgb_of
from video_support import BT709


def _plane(frame: Any, index: int, depth: int, channels: int = 1) -> np.ndarray[Any, Any]:
    plane = frame.planes[index]
    samples = np.frombuffer(plane, np.uint8 if depth == 8 else np.uint16)
    return samples.reshape(plane.height, -1)[:, : plane.width * channels].astype(np.float64)


def _noise(height: int, width: int, channels: int = 3) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(3).random((height, width, channels), dtype=np.float32)


@pytest.mark.parametrize("pixel_format", [name for name, layout in LAYOUTS.items() if layout.family == "yuv"])
@pytest.mark.parametrize("size", [(70, 98), (4, 2), (600, 130), (6, 100), (1300, 104)])
def test_yuv_is_within_half_a_code_of_the_formula(pixel_format: str, size: tuple[int, int]) -> None:
    layout = LAYOUTS[pixel_format]
    pixels = _noise(*size, channels=4 if layout.alpha else 3)
    frame, broken = Converter(pixel_format, *size)(pixels)
    scale = 2 ** (layout.depth - 8)
    luma, blue, red = np.moveaxis(pixels[..., :3].astype(np.float64) @ BT709.T, -1, 0)
    rows, columns = size[0] // layout.down, size[1] // layout.across
    expected = [(16 + 219 * luma) * scale]
    for chroma in (blue, red):
        mean = chroma.reshape(rows, layout.down, columns, layout.across).mean(axis=(1, 3))
        expected.append((128 + 224 * mean) * scale)
    if layout.alpha:
        expected.append(pixels[..., 3].astype(np.float64) * (2**layout.depth - 1))
    assert not broken
    for index, reference in enumerate(expected):
        error = _plane(frame, index, layout.depth) - reference
        assert np.abs(error).max() <= 0.5 + 1e-3 * scale
        assert abs(error.mean()) < 5 / np.sqrt(12 * error.size)  # rounding without bias


def test_known_colours() -> None:
    """The code values of 100 % colour bars in BT.709, from the tables of SMPTE RP 219."""
    bars = {(1, 1, 1): (235, 128, 128), (1, 1, 0): (219, 16, 138), (0, 0, 1): (32, 240, 118), (0, 0, 0): (16, 128, 128)}
    for colour, codes in bars.items():
        frame, _ = Converter("yuv420p", 2, 2)(np.full((2, 2, 3), colour, np.float32))
        assert tuple(int(_plane(frame, index, 8)[0, 0]) for index in range(3)) == codes


def test_values_outside_the_range_are_clipped() -> None:
    wild = np.full((4, 4, 3), -3, np.float32)
    wild[:2] = [7, np.inf, 1.5]
    frame, broken = Converter("yuv420p", 4, 4)(wild)
    assert not broken
    assert _plane(frame, 0, 8).tolist() == [[235] * 4] * 2 + [[16] * 4] * 2


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "bgra", "gbrp10le"])
def test_nan_becomes_black_and_is_reported(pixel_format: str) -> None:
    pixels = np.full((4, 4, 3), 0.5, np.float32)
    pixels[0, 0, 1] = np.nan
    clean, _ = Converter(pixel_format, 4, 4)(np.nan_to_num(pixels))
    frame, broken = Converter(pixel_format, 4, 4)(pixels)
    assert broken
    depth, channels = LAYOUTS[pixel_format].depth, 4 if pixel_format == "bgra" else 1
    for index in range(len(frame.planes)):
        assert np.array_equal(_plane(frame, index, depth, channels), _plane(clean, index, depth, channels))


@pytest.mark.parametrize("pixel_format", ["rgb24", "rgba", "bgra", "bgr0"])
def test_packed_rgb_is_rounded(pixel_format: str) -> None:
    pixels = _noise(5, 7, 4)
    frame, _ = Converter(pixel_format, 5, 7)(pixels)
    letters = LAYOUTS[pixel_format].family
    found = _plane(frame, 0, 8, len(letters)).reshape(5, 7, len(letters))
    for at, letter in enumerate(letters):
        expected = np.zeros((5, 7)) if letter == "0" else np.floor(pixels[..., "rgba".index(letter)] * 255.0 + 0.5)
        assert np.array_equal(found[..., at], expected)


def test_planar_rgb_order() -> None:
    pixels = _noise(5, 7, 4)
    frame, _ = Converter("gbrap10le", 5, 7)(pixels)
    for index, channel in enumerate((1, 2, 0, 3)):
        assert np.abs(_plane(frame, index, 10) - pixels[..., channel].astype(np.float64) * 1023).max() <= 0.5001


def test_odd_sides_repeat_the_edge() -> None:
    pixels = _noise(5, 7)
    converter = Converter("yuv420p", 5, 7)
    frame, _ = converter(pixels)
    assert (converter.height, converter.width) == (6, 8)
    even, _ = Converter("yuv420p", 6, 8)(np.pad(pixels, ((0, 1), (0, 1), (0, 0)), mode="edge"))
    assert all(np.array_equal(_plane(frame, index, 8), _plane(even, index, 8)) for index in range(3))


def test_views_and_transposes_convert_like_copies() -> None:
    pixels = torch.rand(8, 6, 3).transpose(0, 1).numpy()
    frame, _ = Converter("yuv420p", 6, 8)(pixels)
    copy, _ = Converter("yuv420p", 6, 8)(np.ascontiguousarray(pixels))
    assert np.array_equal(_plane(frame, 0, 8), _plane(copy, 0, 8))


@pytest.mark.parametrize("pixel_format", [name for name, layout in LAYOUTS.items() if layout.family == "yuv"])
def test_decoding_is_the_inverse(pixel_format: str) -> None:
    """Flat blocks, so that shared chroma loses nothing: what was encoded comes back to within the rounding of the codes."""
    layout = LAYOUTS[pixel_format]
    pixels = np.random.default_rng(5).random((8, 10, 4 if layout.alpha else 3), dtype=np.float32)
    pixels = pixels.repeat(4, axis=0).repeat(4, axis=1)
    frame, _ = Converter(pixel_format, 32, 40)(pixels)
    back = rgb_of(frame)
    # Half a code of luma and of chroma, through the largest coefficient (1.8556).
    bound = 0.5 / 2 ** (layout.depth - 8) * (1 / 219 + 1.8556 / 224)
    assert back.shape == pixels.shape
    assert np.abs(back - pixels).max() <= bound + 1e-5
    assert abs((back - pixels)[..., :3].mean()) < bound / 5


def test_untagged_files_are_read_by_bt601() -> None:
    frame = av.VideoFrame(2, 2, "yuv444p")
    for plane, code in zip(frame.planes, (81, 90, 240), strict=True):
        np.frombuffer(plane, np.uint8)[:] = code
    # 81, 90, 240 is pure red in BT.601 (ITU-R BT.601-7, 100 % colour bars).
    assert rgb_of(frame)[0, 0] == pytest.approx([1, 0, 0], abs=0.01)
