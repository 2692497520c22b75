"""VideoTimeline as ComfyUI calls it: one whole file, encoded or copied, each frame the one that the list names (by ffmpeg and ffprobe)."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from advanced_models.errors import Interrupted, UserError
from advanced_models.nodes.timeline import FORMATS_OF_VIDEO, VideoTimeline
from advanced_models.video.audio import Sound
from advanced_models.video.info import read_info
from video_support import RecordingHost, clip, hashes, host, keyframes, left_over, needs_ffmpeg, probe, save

__all__ = ["host"]

FRAMES = 24
CHOICES: dict[str, Any] = {"format": "mp4 (h264)", "quality": "high", "speed": "ultrafast", "filename_prefix": "video/cut"}

pytestmark = needs_ffmpeg


def source(host: RecordingHost, format_name: str = "mp4 (h264)", seed: int = 0, **options: Any) -> dict[str, Any]:
    images = (clip(FRAMES) + 0.2 * torch.rand(FRAMES, 1, 1, 3, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)
    path = save(host.output_folder.parent, images, format_name, host=host, **options).path
    return {"filename": path.name, "subfolder": "", "type": "output"}


def render(*clips: dict[str, Any], audio: Any = None, **inputs: Any) -> dict[str, Any]:
    return VideoTimeline().render(json.dumps({"clips": clips, "audio": audio}), **{**CHOICES, **inputs})


def path_of(host: RecordingHost, name: dict[str, Any]) -> Path:
    return host.output_folder / name["filename"]


@pytest.mark.parametrize("format_name", ["mp4 (h264)", "mp4 (h265)", "webm (vp9)", "mp4 (av1)", "mov (ProRes 422)", "mkv (ffv1)"])
def test_whole_clips_are_copied_bit_for_bit(host: RecordingHost, format_name: str) -> None:
    a, b = source(host, format_name, speed="medium"), source(host, format_name, 1, speed="medium")
    answer = render({"file": b}, {"file": a}, {"file": b}, format=format_name)
    assert answer["ui"]["video"][0]["notes"] == ["The clips were put together as they are, without encoding them again."]
    made = host.output_folder / answer["result"][1]
    assert hashes(made) == hashes(path_of(host, b)) + hashes(path_of(host, a)) + hashes(path_of(host, b))
    stream = probe(made)["video"]
    assert (int(stream["nb_read_frames"]), stream["avg_frame_rate"]) == (3 * FRAMES, "24/1")


def test_a_cut_at_keyframes_copies_all(host: RecordingHost) -> None:
    file = source(host, keyframe_interval=8, speed="medium")
    _, a, b, *_ = keyframes(path_of(host, file))
    for first, end in ((a, b), (0, b), (a, FRAMES)):
        answer = render({"file": file, "in": first, "out": end})
        assert answer["ui"]["video"][0]["notes"] == ["The clips were put together as they are, without encoding them again."]
        made = host.output_folder / answer["result"][1]
        assert hashes(made) == hashes(path_of(host, file))[first:end]
        assert read_info(made).frame_count == end - first


def test_lossless_editing_loses_nothing(host: RecordingHost) -> None:
    file = source(host, "mkv (ffv1)")
    frames = hashes(path_of(host, file))
    answer = render(
        {"file": file, "in": 5, "out": 9}, {"file": file, "in": 2, "out": 12, "speed": 2}, format="mkv (ffv1)", copy_untouched=False
    )
    assert hashes(host.output_folder / answer["result"][1]) == frames[5:9] + frames[3:13:2]


def test_other_settings_encode_again(host: RecordingHost) -> None:
    file = source(host)
    for inputs in ({"format": "mp4 (h265)"}, {"copy_untouched": False}):
        assert render({"file": file}, **inputs)["ui"]["video"][0]["notes"] == []


@pytest.mark.parametrize("copy_untouched", [True, False])
def test_the_sound_is_as_long_as_the_picture(host: RecordingHost, copy_untouched: bool) -> None:
    seconds = np.arange(96000) / 48000
    tone = Sound((0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)[None], 48000)
    file, track = source(host), source(host, "mkv (ffv1)", sound=tone)
    answer = render({"file": file}, {"file": file}, audio={"file": track, "start": 0.25}, copy_untouched=copy_untouched)
    found = probe(host.output_folder / answer["result"][1])
    assert answer["ui"]["video"][0]["has_audio"]
    assert float(found["audio"]["duration"]) == pytest.approx(0.75, abs=0.05)  # the second of sound that the file has, from 0.25 s on
    assert float(found["video"]["duration"]) == pytest.approx(2, abs=0.001)


def test_what_the_page_and_other_nodes_get(host: RecordingHost) -> None:
    file = source(host)
    prompt = {"1": {"class_type": "VideoTimeline", "inputs": {}}}
    answer = VideoTimeline().render(json.dumps({"clips": [{"file": file, "in": 3}]}), **CHOICES, save_output=False, prompt=prompt)
    shown = answer["ui"]["video"][0]
    assert (shown["filename"], shown["subfolder"], shown["type"], shown["frame_count"]) == ("cut_00001_.mp4", "video", "temp", 21)
    video, path = answer["result"]
    assert path == "video/cut_00001_.mp4" and video.get_frame_count() == 21
    assert json.loads(probe(host.temp_folder / path)["tags"]["prompt"]) == prompt
    assert str(host.output_folder.parent) not in json.dumps(answer["ui"])


def test_nothing_is_left_of_what_was_stopped_or_refused(host: RecordingHost) -> None:
    file = source(host)
    before = left_over(host.output_folder)
    digest = hashlib.sha256(path_of(host, file).read_bytes()).hexdigest()
    for copy_untouched in (True, False):
        host.stop_after, host.checks = 3, 0
        with pytest.raises(Interrupted):
            render({"file": file}, copy_untouched=copy_untouched)
    host.stop_after = None
    with pytest.raises(UserError, match="the file has 24"):
        render({"file": file, "in": 0, "out": 25})
    assert left_over(host.output_folder) == before
    assert hashlib.sha256(path_of(host, file).read_bytes()).hexdigest() == digest


def test_a_file_that_changed_is_rendered_again(host: RecordingHost) -> None:
    text = json.dumps({"clips": [{"file": source(host)}]})
    first = VideoTimeline.IS_CHANGED(text, **CHOICES)
    assert VideoTimeline.IS_CHANGED(text) == first
    os.utime(host.output_folder / "clip_00001_.mp4", (1, 1))
    assert VideoTimeline.IS_CHANGED(text) != first
    assert VideoTimeline.IS_CHANGED("nothing") == "nothing"


def test_what_it_makes_can_be_read_back() -> None:
    assert "webp" not in FORMATS_OF_VIDEO and "gif" in FORMATS_OF_VIDEO
