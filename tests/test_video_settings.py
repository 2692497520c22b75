"""Choices and frames that cannot be saved are refused in one sentence, before anything is written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.video.formats import FORMATS
from advanced_models.video.settings import frame_rate, settings_for
from video_support import save


@pytest.mark.parametrize(
    ("given", "exact"),
    [(23.976, "24000/1001"), (29.97, "30000/1001"), (59.94, "60000/1001"), (16, "16"), (12.5, "25/2"), ("30000/1001", "30000/1001")],
)
def test_frame_rates_are_exact(given: object, exact: str) -> None:
    assert frame_rate(given) == Fraction(exact)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 1e9, "fast", None, "1/0"])
def test_frame_rates_that_are_none(rate: object) -> None:
    with pytest.raises(UserError, match="frame rate must"):
        frame_rate(rate)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format_name": "mp4"}, "is no format"),
        ({"quality": "crf=0,metadata=print:file=/tmp/x"}, "is no quality"),
        ({"speed": "placebo"}, "is no speed"),
        ({"encoder": "../x"}, "is no encoder"),
        ({"bit_depth": "10", "format_name": "gif"}, "has no 10 bit variant"),
        ({"bit_depth": "12"}, "is no bit_depth"),
        ({"plays": -1}, "loop_count must be a whole number"),
        ({"plays": 10**9}, "loop_count must be a whole number"),
        ({"keyframe_interval": float("nan")}, "keyframe_interval must be"),
        ({"crf": 99}, "crf must be"),
        ({"format_name": "gif", "rate": 60}, "at most 50 frames per second"),
    ],
)
def test_settings_refuse_in_one_sentence(options: dict[str, object], sentence: str) -> None:
    arguments = {"format_name": "mp4 (h264)", "rate": 24, **options}
    with pytest.raises(UserError, match=sentence):
        settings_for(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (torch.zeros(0, 8, 8, 3), "no frames to save"),
        (torch.zeros(1, 0, 8, 3), "cannot be encoded"),
        (torch.zeros(1, 1, 1, 3).expand(1, 1, 70000, 3), "cannot be encoded"),
        (torch.zeros(1, 8, 8, 2), "3 channels"),
        (torch.zeros(8, 8), "must be"),
        (torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "floating-point"),
        ("video.mp4", "takes an IMAGE"),
    ],
)
def test_frames_refuse_in_one_sentence(tmp_path: Path, images: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        save(tmp_path, images)
    assert not (tmp_path / "output").exists()


def test_every_format_is_offered() -> None:
    assert {form.extension for form in FORMATS.values()} == {"mp4", "webm", "mov", "mkv", "gif", "webp", "png"}
