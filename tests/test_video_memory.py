"""Memory does not grow with the length of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from video_support import clip, save

CLEAR = Path("/proc/self/clear_refs")
HEIGHT, WIDTH = 256, 448


class Long:
    """The same few frames again and again, made when they are asked for."""

    height, width, channels = HEIGHT, WIDTH, 3

    def __init__(self, frame_count: int) -> None:
        self.frame_count = frame_count

    def chunks(self) -> Iterator[torch.Tensor]:
        for _ in range(self.frame_count // 4):
            yield clip(4, HEIGHT, WIDTH)


def _peak_above(folder: Path, frames: int, **options: object) -> float:
    """MiB that saving takes at its peak beyond what the process held before."""
    CLEAR.write_text("5")
    before = _status("VmRSS")
    save(folder, Long(frames), **options)
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


@pytest.mark.skipif(not CLEAR.exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("options", [{}, {"ping_pong": True}], ids=["once", "ping-pong"])
def test_peak_memory_is_that_of_a_short_clip(tmp_path: Path, options: dict[str, object]) -> None:
    save(tmp_path, Long(40), **options)  # what is loaded once
    short = _peak_above(tmp_path, 40, **options)
    long = _peak_above(tmp_path, 400, **options)
    # 360 more frames are 472 MiB as floats and 59 MiB as encoded planes.
    assert long < short + 25
