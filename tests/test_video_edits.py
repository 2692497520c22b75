"""Edit lists: what they refuse, and that every frame of the result is the frame that the list names."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.video.audio import Sound
from advanced_models.video.edit_render import EditedFrames, sound_of_edit
from advanced_models.video.edits import Edit, parse_edit
from advanced_models.video.frames import FileFrames
from video_support import RecordingHost, host_in, save

FRAMES = 40
LEVELS = torch.linspace(0.1, 0.9, FRAMES)


@pytest.fixture
def host(tmp_path: Path) -> RecordingHost:
    return host_in(tmp_path)


def ramp(
    host: RecordingHost, name: str = "mp4 (h264)", rate: object = 24, frames: int = FRAMES, size: tuple[int, int] = (64, 96), **options: Any
) -> dict[str, Any]:
    """A file whose frame n is grey at LEVELS[n], as the page names it."""
    images = LEVELS[:frames].view(-1, 1, 1, 1).expand(frames, *size, 3).contiguous()
    path = save(host.output_folder.parent, images, name, rate, host=host, quality="very high", **options).path
    return {"filename": path.name, "subfolder": "", "type": "output"}


def edit(host: RecordingHost, *clips: dict[str, Any], **more: Any) -> Edit:
    return parse_edit(json.dumps({"clips": clips, **more}), host)


def numbers(edited: Edit) -> list[int]:
    """Which frame of the ramp each frame of the result is."""
    frames = [frame for chunk in EditedFrames(edited).chunks() for frame in chunk]
    assert len(frames) == edited.frame_count
    found = torch.stack([frame[..., :3].mean() for frame in frames])
    distance = (found[:, None] - LEVELS[None]).abs()
    assert distance.min(dim=1).values.max() < 0.008  # the levels lie 0.0205 apart
    return distance.argmin(dim=1).tolist()


@pytest.mark.parametrize("name", ["mp4 (h264)", "mp4 (h265)", "webm (vp9)", "mp4 (av1)", "mkv (ffv1)", "mov (ProRes 422)", "gif", "apng"])
def test_trimming_gives_the_frames_that_were_named(host: RecordingHost, name: str) -> None:
    file = ramp(host, name, 24 if name not in ("gif",) else 25)
    assert numbers(edit(host, {"file": file})) == list(range(FRAMES))
    for first, end in ((0, 1), (3, 17), (25, FRAMES), (FRAMES - 1, FRAMES)):
        assert numbers(edit(host, {"file": file, "in": first, "out": end})) == list(range(first, end))


@pytest.mark.parametrize("interval", [1, 5, 12])
def test_trimming_starts_anywhere_between_keyframes(host: RecordingHost, interval: int) -> None:
    file = ramp(host, keyframe_interval=interval, speed="medium")  # medium reorders frames
    for first in range(FRAMES):
        assert numbers(edit(host, {"file": file, "in": first, "out": min(first + 2, FRAMES)})) == list(range(first, min(first + 2, FRAMES)))


def test_split_and_reordered(host: RecordingHost) -> None:
    file = ramp(host)
    parts = [{"file": file, "in": 20, "out": 40}, {"file": file, "in": 0, "out": 20}]
    assert numbers(edit(host, *parts)) == [*range(20, 40), *range(20)]
    assert numbers(edit(host, *reversed(parts))) == list(range(40))


def test_speed_and_rate_pick_frames_in_time(host: RecordingHost) -> None:
    file = ramp(host)
    double = edit(host, {"file": file, "speed": 2})
    # Frame k lasts from k/24 s to (k+1)/24 s of the result; its middle is at second (k + 1/2)/12 of the clip's own frames.
    assert (double.frame_count, numbers(double)) == (20, [2 * k + 1 for k in range(20)])
    half = edit(host, {"file": file, "in": 10, "out": 15, "speed": 0.5})
    assert numbers(half) == [10, 10, 11, 11, 12, 12, 13, 13, 14, 14]
    faster = edit(host, {"file": file, "in": 0, "out": 10}, frame_rate=[48, 1])
    assert (faster.frame_rate, numbers(faster)) == (48, [k // 2 for k in range(20)])
    other = ramp(host, rate=12, frames=10)
    mixed = edit(host, {"file": file, "in": 0, "out": 4}, {"file": other})
    assert numbers(mixed) == [0, 1, 2, 3, *(k // 2 for k in range(20))]


def test_a_cross_fade_blends_the_two_clips(host: RecordingHost) -> None:
    file = ramp(host, "mkv (ffv1)")
    faded = edit(host, {"file": file, "in": 0, "out": 10}, {"file": file, "in": 30, "out": 40, "fade": 4})
    assert faded.frame_count == 16
    levels = torch.stack([frame.mean() for chunk in EditedFrames(faded).chunks() for frame in chunk])
    a, b = LEVELS[:10], LEVELS[30:40]
    weights = torch.arange(1, 5) / 5
    wanted = torch.cat([a[:6], a[6:] * (1 - weights) + b[:4] * weights, b[4:]])
    assert torch.allclose(levels, wanted, atol=0.5 / 255 + 1e-4)


def test_other_sizes_stand_in_the_middle(host: RecordingHost) -> None:
    large, tall = ramp(host, "mkv (ffv1)"), ramp(host, "mkv (ffv1)", size=(64, 32))
    both = edit(host, {"file": large, "in": 0, "out": 1}, {"file": tall, "in": 39, "out": 40})
    *_, last = EditedFrames(both).chunks()
    assert last.shape == (1, 64, 96, 3)
    assert last[0, :, :32].max() == 0 and last[0, :, 64:].max() == 0
    assert torch.allclose(last[0, :, 32:64], LEVELS[39].expand(64, 32, 3), atol=0.5 / 255 + 1e-4)


def test_the_whole_clip_is_never_in_memory(host: RecordingHost, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ramp(host)
    decoded = 0
    original = FileFrames._decoded

    def counting(self: FileFrames) -> Any:
        nonlocal decoded
        for frame in original(self):
            decoded += 1
            yield frame

    monkeypatch.setattr(FileFrames, "_decoded", counting)
    frames = EditedFrames(edit(host, {"file": file}, {"file": file})).chunks()
    for taken in range(1, 60):
        next(frames)
        assert decoded <= taken + 8


def tone(seconds: float, level: float, rate: int = 48000) -> Sound:
    return Sound(np.full((2, round(seconds * rate)), level, np.float32), rate)


def test_the_clips_own_sound_follows_the_pictures(host: RecordingHost) -> None:
    seconds = FRAMES / 24
    loud = ramp(host, "mkv (ffv1)", sound=tone(seconds, 0.5))
    quiet = ramp(host, "mkv (ffv1)", sound=tone(seconds, 0.1))
    silent = ramp(host, "mkv (ffv1)")
    sound = sound_of_edit(
        edit(host, {"file": loud, "in": 0, "out": 24}, {"file": silent, "in": 0, "out": 12}, {"file": quiet, "in": 4, "out": 16})
    )
    assert sound is not None and sound.samples.shape == (2, 96000)
    assert np.allclose(sound.samples[:, :48000], 0.5, atol=1e-4)
    assert not sound.samples[:, 48000:72000].any()
    assert np.allclose(sound.samples[:, 72000:], 0.1, atol=1e-4)
    faded = sound_of_edit(edit(host, {"file": loud, "in": 0, "out": 24}, {"file": quiet, "in": 0, "out": 24, "fade": 12}))
    assert faded is not None and faded.samples.shape == (2, 72000)
    assert np.allclose(faded.samples[0, 36000], 0.3, atol=1e-3)  # the middle of the fade: half of each
    assert sound_of_edit(edit(host, {"file": silent})) is None


def test_a_track_replaces_it(host: RecordingHost) -> None:
    file = ramp(host, "mkv (ffv1)", sound=tone(1, 0.5))
    track = ramp(host, "mkv (ffv1)", sound=Sound(np.linspace(0, 1, 48000, dtype=np.float32)[None], 48000))
    sound = sound_of_edit(edit(host, {"file": file}, audio={"file": track, "start": 0.5}))
    assert sound is not None and sound.samples.shape == (1, 24000)
    assert sound.samples[0, 0] == pytest.approx(0.5, abs=1e-3)
    silent = ramp(host)
    with pytest.raises(UserError, match="holds no sound"):
        sound_of_edit(edit(host, {"file": file}, audio={"file": silent}))


def test_what_is_refused(host: RecordingHost, tmp_path: Path) -> None:
    file = ramp(host)
    shutil.copy(host.output_folder / file["filename"], tmp_path / "secret.mp4")
    whole = {"file": file}
    cases = [
        ("not json", "no JSON"),
        ("[]", "empty"),
        ('{"clips": []}', "empty"),
        ([{"file": {**file, "filename": "../secret.mp4"}}], "Clip 1: There is no file"),
        ([{"file": {**file, "filename": "gone.mp4"}}], "There is no file 'gone.mp4' in the output folder"),
        ([{**whole, "in": 3, "out": 41}], "shows frames 3 to 41, but the file has 40"),
        ([{**whole, "in": 5, "out": 5}], "shows frames 5 to 5"),
        ([{**whole, "in": 1.5}], "whole number"),
        ([{**whole, "speed": 0}], "speed must lie between"),
        ([{**whole, "speed": float("nan")}], "speed must lie between"),
        ([{**whole, "fade": 3}], "nothing before it"),
        ([whole, {**whole, "fade": 41}], "longer than what is left"),
        ([whole, {**whole, "in": 0, "out": 10, "fade": 8}, {**whole, "fade": 3}], "into clip 3 is longer"),
        ([whole, {**whole, "fade": -1}], "make it shorter"),
    ]
    for clips, message in cases:
        text = clips if isinstance(clips, str) else json.dumps({"clips": clips})
        with pytest.raises(UserError, match=message) as caught:
            parse_edit(text, host)
        assert str(tmp_path) not in str(caught.value)
    for more, message in (
        ({"size": [0, 5]}, "width, height"),
        ({"frame_rate": "fast"}, "frame rate must be a number"),
        ({"audio": {"file": file, "start": -1}}, "0 seconds or later"),
        ({"audio": 3}, "no object"),
    ):
        with pytest.raises(UserError, match=message):
            edit(host, whole, **more)


def test_it_is_read_as_it_is_written(host: RecordingHost) -> None:
    file = ramp(host, rate=29.97)
    edited = edit(host, {"file": file, "in": 2, "out": 12}, {"file": file, "speed": 0.5, "fade": 5}, size=[32, 16])
    assert (edited.frame_rate, edited.width, edited.height) == (Fraction(30000, 1001), 32, 16)
    assert edited.starts() == [0, 5] and edited.frame_count == 5 + 80
