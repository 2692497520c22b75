"""VideoCombine as ComfyUI calls it, and `advanced-models video info`."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.cli import video as command
from advanced_models.errors import UserError
from advanced_models.nodes.video import VideoCombine
from advanced_models.video.formats import FORMATS
from advanced_models.video.info import read_info
from advanced_models.video.value import VideoFile
from video_support import RecordingHost, clip, host, left_over, numbered

__all__ = ["host"]

CHOICES: dict[str, Any] = {
    "frame_rate": 24.0,
    "format": "mp4 (h264)",
    "quality": "high",
    "speed": "ultrafast",
    "filename_prefix": "video/clip",
}
PROMPT = {
    "7": {"class_type": "VideoCombine", "inputs": {"frame_rate": 24.0}},
    "8": {"class_type": "PreviewImage", "inputs": {"images": ["7", 1]}},
}


def combine(**inputs: Any) -> dict[str, Any]:
    return VideoCombine().save(**{**CHOICES, **inputs})


def test_what_the_page_and_other_nodes_get(host: RecordingHost) -> None:
    images = clip(9)
    audio = {"waveform": torch.zeros(1, 2, 18000), "sample_rate": 48000}
    answer = combine(images=images, audio=audio, frame_rate=23.976, prompt=PROMPT, extra_pnginfo={"workflow": {"nodes": []}})
    assert answer["ui"]["video"] == [
        {
            "filename": "clip_00001_.mp4",
            "subfolder": "video",
            "type": "output",
            "format": "video/mp4",
            "frame_rate": [24000, 1001],
            "frame_count": 9,
            "duration": pytest.approx(9 * 1001 / 24000),
            "width": 96,
            "height": 64,
            "has_audio": True,
            "has_alpha": False,
            "notes": [],
        }
    ]
    assert json.loads(json.dumps(answer["ui"])) == answer["ui"]
    assert str(host.output_folder) not in json.dumps(answer["ui"])
    video, passed, path = answer["result"]
    assert passed is images
    assert path == "video/clip_00001_.mp4"
    file = host.output_folder / path
    assert read_info(file).frame_count == 9
    assert isinstance(video, VideoFile)
    assert (video.get_dimensions(), video.get_frame_count(), video.get_frame_rate()) == ((96, 64), 9, Fraction(24000, 1001))


def test_metadata_is_that_of_the_run_or_none(host: RecordingHost) -> None:
    inside = {"prompt": PROMPT, "extra_pnginfo": {"workflow": {"title": "\u53f7 \u00e9"}}}
    _, _, path = combine(images=clip(3), **inside)["result"]
    tags = read_info(host.output_folder / path).tags
    assert (json.loads(tags["prompt"]), json.loads(tags["workflow"])) == (PROMPT, {"title": "\u53f7 \u00e9"})
    host.embed_metadata = False
    for form in ("mp4 (h264)", "webm (vp9)", "webp", "apng", "png sequence"):
        _, _, path = combine(images=clip(2), format=form, **inside)["result"]
        data = (host.output_folder / path).read_bytes()
        assert b"class_type" not in data
        assert b"workflow" not in data


def test_a_preview_goes_to_temp(host: RecordingHost) -> None:
    answer = combine(images=clip(2), save_output=False)
    assert answer["ui"]["video"][0]["type"] == "temp"
    assert left_over(host.temp_folder) == ["video/clip_00001_.mp4"]
    assert not host.output_folder.exists()


def test_a_video_is_read_back_and_saved_again(host: RecordingHost) -> None:
    audio = {"waveform": torch.sin(torch.arange(22050) / 20).view(1, 1, -1), "sample_rate": 44100}
    first = combine(images=numbered(12), audio=audio, format="mkv (ffv1)")["result"][0]
    answer = combine(video=first, format="mov (ProRes 422)", frame_rate=5.0, prompt=PROMPT, unique_id="7")
    _, images, path = answer["result"]
    info = read_info(host.output_folder / path)
    assert (info.frame_count, info.frame_rate) == (12, 24)  # its own rate
    assert info.audio is not None
    assert (info.audio.channels, info.audio.sample_rate) == (1, 44100)
    assert info.audio.seconds == pytest.approx(0.5, abs=0.001)
    assert torch.allclose(images, torch.floor(numbered(12) * 255 + 0.5) / 255)


def test_frames_of_a_video_are_decoded_only_for_somebody(host: RecordingHost) -> None:
    video = combine(images=clip(3))["result"][0]
    alone = {"7": PROMPT["7"]}
    assert combine(video=video, prompt=alone, unique_id="7")["result"][1] is None


def test_a_trimmed_video_keeps_its_window(host: RecordingHost) -> None:
    """ComfyUI's trimmed videos are the whole file and a window in seconds."""

    class Trimmed(VideoFile):
        def get_active_trim_window(self) -> tuple[float, float]:
            return 0.25, 0.125

    audio = {"waveform": torch.zeros(1, 2, 24000), "sample_rate": 48000}
    video = combine(images=numbered(12), audio=audio, format="mkv (ffv1)")["result"][0]
    answer = combine(video=Trimmed(video.path), format="mkv (ffv1)")
    info = read_info(host.output_folder / answer["result"][2])
    assert info.frame_count == 3
    assert info.audio is not None
    assert info.audio.seconds == pytest.approx(0.125, abs=0.001)
    assert torch.allclose(answer["result"][1], torch.floor(numbered(12)[6:9] * 255 + 0.5) / 255)


@pytest.mark.parametrize("form", ["webm (vp9)", "mov (ProRes 4444)", "mkv (ffv1)", "apng"])
def test_transparency_survives_a_round_trip(host: RecordingHost, form: str) -> None:
    images = clip(6, channels=4)
    video = combine(images=images, format=form, quality="very high", frame_rate=10)["result"][0]
    answer = combine(video=video, format="mkv (ffv1)")
    assert answer["ui"]["video"][0]["has_alpha"]
    assert answer["ui"]["video"][0]["frame_count"] == 6
    back = answer["result"][1]
    assert (back - images).abs().max() < 0.06
    # Saving and loading shifts no colour: a quarter of a code on average, where common loaders lose one and a half.
    assert (back - images)[..., :3].mean(dim=(0, 1, 2)).abs().max() < 0.25 / 255 * (4 if form == "webm (vp9)" else 1)


def test_a_video_in_memory(host: RecordingHost) -> None:
    """A WebP cannot be read back as a video, so its VIDEO output is the clip itself."""
    video = combine(images=numbered(5), format="webp (lossless)", frame_rate=10)["result"][0]
    answer = combine(video=video)
    assert answer["ui"]["video"][0]["frame_rate"] == [10, 1]
    assert answer["ui"]["video"][0]["frame_count"] == 5


@pytest.mark.parametrize("both", [True, False])
def test_exactly_one_source(host: RecordingHost, both: bool) -> None:
    inputs = {"images": clip(2), "video": object()} if both else {}
    with pytest.raises(UserError, match="exactly one of the two"):
        combine(**inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {"filename_prefix": "../../evil"},
        {"filename_prefix": "/tmp/evil"},
        {"filename_prefix": "link/evil"},
        {"filename_prefix": "%date:../..%/../x"},
        {"filename_prefix": "a" * 400},
        {"filename_prefix": 5},
        {"format": "mp4 (h264),metadata=print:file=/tmp/evil"},
        {"format": ["mp4 (h264)"]},
        {"quality": "none,metadata=mode=print:file=/tmp/evil", "format": "gif", "frame_rate": 10},
        {"speed": "medium:stats=/tmp/evil"},
        {"bit_depth": "8 -f null"},
        {"encoder": "/bin/sh"},
        {"frame_rate": 0},
        {"frame_rate": float("nan")},
        {"frame_rate": -24},
        {"frame_rate": "1e400"},
        {"keyframe_interval": -5},
        {"keyframe_interval": 2**62},
        {"loop_count": float("inf")},
        {"images": torch.zeros(1, 1, 1, 3).expand(1, 10**6, 10**6, 3)},
        {"images": torch.zeros(3, 0, 0, 3)},
        {"images": torch.zeros(1, 32, 32, 3), "format": "mp4 (av1)"},
        {"audio": {"waveform": torch.zeros(1, 64, 10), "sample_rate": 48000}},
        {"audio": {"waveform": torch.zeros(1, 1, 10), "sample_rate": -1}},
        {"video": "/etc/passwd", "images": None},
        {"video": VideoFile(Path("/etc/passwd")), "images": None},
    ],
)
def test_a_crafted_workflow_writes_nothing(host: RecordingHost, tmp_path: Path, inputs: dict[str, Any]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    host.output_folder.mkdir()
    (host.output_folder / "link").symlink_to(outside)
    with pytest.raises(UserError) as refusal:
        combine(**{"images": clip(2), **inputs})
    sentence = str(refusal.value)
    assert len(sentence) < 300
    assert "\n" not in sentence
    assert str(tmp_path) not in sentence
    assert "/etc" not in sentence
    assert left_over(tmp_path) == []


def test_every_option_says_what_it_does() -> None:
    inputs = VideoCombine.INPUT_TYPES()
    for kind in ("required", "optional"):
        for name, (_, options) in inputs[kind].items():
            assert len(options["tooltip"]) > 20, name
    assert len(VideoCombine.OUTPUT_TOOLTIPS) == len(VideoCombine.RETURN_TYPES) == len(VideoCombine.RETURN_NAMES)
    assert inputs["required"]["format"][0] == list(FORMATS)


def test_the_default_choices_work(host: RecordingHost) -> None:
    inputs = VideoCombine.INPUT_TYPES()
    defaults = {
        name: spec[1]["default"] for kind in ("required", "optional") for name, spec in inputs[kind].items() if "default" in spec[1]
    }
    answer = VideoCombine().save(**defaults, images=clip(2))
    assert answer["ui"]["video"][0]["frame_rate"] == [16, 1]


def _info(arguments: list[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(["info", *arguments]))


def test_info_command(host: RecordingHost, capsys: pytest.CaptureFixture[str]) -> None:
    audio = {"waveform": torch.zeros(1, 2, 24000), "sample_rate": 48000}
    _, _, path = combine(images=clip(12), audio=audio, frame_rate=29.97, prompt=PROMPT)["result"]
    file = str(host.output_folder / path)
    assert _info([file]) == 0
    text = capsys.readouterr().out
    assert "h264 in mov,mp4" in text
    assert "12 at 29.97 per second (30000/1001)" in text
    assert "matrix bt709, primaries bt709, transfer bt709, range limited" in text
    assert "aac, 48000 Hz, 2 channels" in text
    assert text.splitlines()[-1].endswith(" prompt")
    assert _info([file, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["frame_rate"], facts["frame_count"], json.loads(facts["tags"]["prompt"])) == ("30000/1001", 12, PROMPT)


@pytest.mark.parametrize("content", [None, b"", b"not a video", b"\0" * 5000, b"RIFF\x10\0\0\0WEBPVP8 "])
def test_info_of_what_is_no_video(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "x.mp4"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mp4"):
        _info([str(file)])
