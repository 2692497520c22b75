"""A timeline that copies some frames and encodes others: the copied ones are the files' own, the others look like them, and the whole is
one even stream (by ffmpeg and ffprobe).
"""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from advanced_models.errors import Interrupted
from advanced_models.nodes.timeline import VideoTimeline
from advanced_models.video.audio import Sound
from advanced_models.video.packets import coded_file
from video_support import RecordingHost, decode, hashes, host, keyframes, left_over, needs_ffmpeg, probe, save

__all__ = ["host"]

FRAMES, HEIGHT, WIDTH = 48, 64, 96
INTERVAL = 12
FEW = 5
"""x264 and x265 reorder at most this many frames at the presets used here (bframes 3 and 4)."""

pytestmark = needs_ffmpeg


def panning(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> torch.Tensor:
    """A texture that moves, so that encoders use frames that depend on later ones."""
    height, width = size
    small = torch.rand(1, 3, height // 8, width // 4, generator=torch.Generator().manual_seed(seed))
    wide = torch.nn.functional.interpolate(small, (height, 2 * width), mode="bilinear")[0].permute(1, 2, 0)
    return torch.stack([wide[:, number : number + width] for number in range(FRAMES)])


def source(
    host: RecordingHost, format_name: str = "mp4 (h264)", seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH), **options: Any
) -> Any:
    if format_name not in ("mov (ProRes 422)", "mkv (ffv1)"):
        options.setdefault("keyframe_interval", INTERVAL)
    options.setdefault("speed", "medium")
    path = save(host.output_folder.parent, panning(seed, size), format_name, host=host, **options).path
    return {"filename": path.name, "subfolder": "", "type": "output"}


def render(host: RecordingHost, *clips: dict[str, Any], audio: Any = None, **inputs: Any) -> tuple[Path, str]:
    """The file and its note."""
    choices = {"format": "mp4 (h264)", "quality": "high", "speed": "medium", "filename_prefix": "cut", **inputs}
    answer = VideoTimeline().render(json.dumps({"clips": clips, "audio": audio}), **choices)
    return host.output_folder / answer["result"][1], "".join(answer["ui"]["video"][0]["notes"])


def counts(note: str) -> tuple[int, int]:
    """How many frames were copied and encoded."""
    found = re.fullmatch(r"(\d+) of (\d+) frames were copied as they are; (\d+) were encoded\.", note)
    assert found is not None, note
    copied, total, encoded = map(int, found.groups())
    assert copied + encoded == total
    return copied, encoded


def file_of(host: RecordingHost, name: dict[str, Any]) -> Path:
    return host.output_folder / name["filename"]


def check_stream(file: Path, frames: int) -> None:
    """Every frame decodes without complaint, and time stamps rise a frame apart."""
    strict = ["ffmpeg", "-v", "error", "-xerror", "-err_detect", "explode", "-i", str(file), "-f", "null", "-"]
    assert subprocess.run(strict, check=True, capture_output=True, text=True).stderr == ""
    stream = probe(file)["video"]
    assert (int(stream["nb_read_frames"]), Fraction(stream["avg_frame_rate"])) == (frames, 24)
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time,dts_time", "-of", "json", str(file)]
    packets = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["packets"]
    shown = sorted(float(packet["pts_time"]) for packet in packets)
    assert np.allclose(shown, np.arange(frames) / 24, atol=6e-4)  # Matroska rounds to milliseconds
    decoded = [float(packet.get("dts_time", packet["pts_time"])) for packet in packets]
    assert np.allclose(np.diff(decoded), 1 / 24, atol=1.1e-3)
    assert all(float(packet["pts_time"]) >= dts for packet, dts in zip(packets, decoded, strict=True))


def likeness(made: Path, number: int, other: Path, other_number: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> float:
    """PSNR in dB of a frame's luma."""
    height, width = size
    one, two = (
        decode(file, "yuv420p").reshape(-1, height * width * 3 // 2)[index, : height * width].astype(float)
        for file, index in ((made, number), (other, other_number))
    )
    return float(10 * np.log10(255**2 / max(np.square(one - two).mean(), 1e-9)))


def test_a_trim_between_keyframes_encodes_only_what_it_must(host: RecordingHost) -> None:
    file = source(host)
    path = file_of(host, file)
    assert keyframes(path) == [0, 12, 24, 36] and probe(path)["video"]["has_b_frames"] == 2
    made, note = render(host, {"file": file, "in": 5, "out": 46})
    check_stream(made, 41)
    copied, encoded = counts(note)
    assert encoded <= 7 + FEW
    frames, originals = hashes(made), hashes(path)
    assert frames[7 : 7 + copied] == originals[12 : 12 + copied]
    assert copied >= 34 - FEW
    for number in (0, 3, 6, 40):
        assert likeness(made, number, path, number + 5) > 38
    assert probe(made)["video"]["has_b_frames"] == 2


def test_pyav_decodes_the_very_samples(host: RecordingHost) -> None:
    file = source(host)
    made, _ = render(host, {"file": file, "in": 10, "out": 36})
    with av.open(str(made)) as new, av.open(str(file_of(host, file))) as old:
        ours = [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in new.decode(video=0)]
        theirs = [frame.to_ndarray() for frame in old.decode(video=0)]
    assert [time for time, _ in ours] == [Fraction(number, 24) for number in range(26)]
    for number in range(2, 26):
        assert np.array_equal(ours[number][1], theirs[number + 10])


def test_a_fade_is_encoded_and_both_sides_are_copied(host: RecordingHost) -> None:
    one, two = source(host), source(host, seed=1, quality="very high")  # quality is the file's own
    made, note = render(host, {"file": one}, {"file": two, "fade": 6})
    check_stream(made, 90)
    _, encoded = counts(note)
    assert encoded <= 6 + FEW + 6  # the fade, what x264 cannot end with before it, and up to the keyframe after it
    frames, first, second = hashes(made), hashes(file_of(host, one)), hashes(file_of(host, two))
    assert frames[: 42 - FEW] == first[: 42 - FEW]
    assert frames[54:] == second[12:]
    sides = decode(made, "yuv420p").reshape(90, -1)[:, : HEIGHT * WIDTH].astype(float)
    lumas = [decode(file_of(host, name), "yuv420p").reshape(FRAMES, -1)[:, : HEIGHT * WIDTH].astype(float) for name in (one, two)]
    for number in range(6):
        weight = (number + 1) / 7
        wanted = lumas[0][42 + number] * (1 - weight) + lumas[1][number] * weight
        assert 10 * np.log10(255**2 / np.square(sides[42 + number] - wanted).mean()) > 35


CUTTABLE = ["mp4 (h264)", "mp4 (h265)", "mp4 (av1)", "webm (av1)", "webm (vp9)", "mov (ProRes 422)", "mkv (ffv1)"]


@pytest.mark.parametrize("format_name", CUTTABLE)
def test_every_codec_mixes(host: RecordingHost, format_name: str) -> None:
    one, two = source(host, format_name), source(host, format_name, 1)
    parts = [{"file": one, "in": 3, "out": 40}, {"file": two, "fade": 4}, {"file": one, "speed": 2}, {"file": two}]
    made, note = render(host, *parts, format=format_name)
    check_stream(made, 37 + 44 + 24 + 48)
    _, encoded = counts(note)
    begin, after_fade = (next(key for key in keyframes(file_of(host, name)) if key >= free) for name, free in ((one, 3), (two, 4)))
    assert encoded <= (begin - 3) + FEW + after_fade + 24
    frames, first, second = hashes(made), hashes(file_of(host, one)), hashes(file_of(host, two))
    assert frames[begin - 3 : 33 - FEW] == first[begin : 36 - FEW]
    assert frames[33 + after_fade : 81] == second[after_fade:]
    assert frames[105:] == second
    if format_name != "mov (ProRes 422)":  # 4:2:2
        assert likeness(made, 0, file_of(host, one), 3) > 35
        assert likeness(made, 90, file_of(host, one), 2 * 9 + 1) > 35


def test_a_few_frames_say_their_rate(host: RecordingHost) -> None:
    file = source(host, "webm (vp9)")
    made, _ = render(host, {"file": file, "in": 0, "out": 5}, format="webm (vp9)")
    check_stream(made, 5)  # without being told, readers guess 23.976 from the milliseconds


def test_rates_of_the_ntsc_family_stay_exact(host: RecordingHost) -> None:
    path = save(host.output_folder.parent, panning(0), rate=29.97, host=host, speed="medium", keyframe_interval=INTERVAL).path
    made, note = render(host, {"file": {"filename": path.name, "type": "output"}, "in": 5})
    counts(note)
    stream = probe(made)["video"]
    assert (stream["avg_frame_rate"], stream["r_frame_rate"]) == ("30000/1001", "30000/1001")


def test_clips_of_other_sizes_and_settings_are_encoded_between_the_copied(host: RecordingHost) -> None:
    one, small, fast = source(host), source(host, size=(32, 48)), source(host, seed=1, speed="ultrafast")
    made, note = render(host, {"file": one}, {"file": small}, {"file": fast}, {"file": one})
    check_stream(made, 4 * FRAMES)
    assert counts(note) == (2 * FRAMES, 2 * FRAMES)
    assert hashes(made)[:FRAMES] == hashes(made)[3 * FRAMES :] == hashes(file_of(host, one))
    assert likeness(made, 2 * FRAMES + 7, file_of(host, fast), 7) > 35


@pytest.mark.parametrize("format_name", ["mp4 (h264)", "mp4 (h265)"])
def test_single_frames_stand_alone(host: RecordingHost, format_name: str) -> None:
    file = source(host, format_name)
    parts = [{"file": file, "in": first, "out": first + count} for first, count in ((11, 2), (12, 1), (0, 1), (5, 1))]
    made, note = render(host, *parts, format=format_name)
    check_stream(made, 5)
    assert counts(note) == (3, 2)
    originals = hashes(file_of(host, file))
    assert hashes(made)[1:4] == [originals[12], originals[12], originals[0]]
    assert likeness(made, 4, file_of(host, file), 5) > 35


def test_other_settings_of_the_encoder_encode_all_and_say_so(host: RecordingHost) -> None:
    file = source(host, speed="ultrafast")
    made, note = render(host, {"file": file, "in": 5})
    check_stream(made, FRAMES - 5)
    assert note.startswith("All frames were encoded: the clips were made with other settings of the encoder")
    assert render(host, {"file": file, "in": 5}, copy_untouched=False)[1] == ""
    assert render(host, {"file": file, "speed": 2})[1] == ""  # there is nothing to copy


def test_the_sound_is_as_long_as_the_picture(host: RecordingHost) -> None:
    seconds = np.arange(96000) / 48000
    tone = Sound((0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)[None], 48000)
    file = source(host, sound=tone)
    made, note = render(host, {"file": file, "in": 5}, {"file": file, "fade": 3})
    check_stream(made, 88)
    counts(note)
    found = probe(made)
    assert float(found["video"]["duration"]) == pytest.approx(88 / 24, abs=0.001)
    assert float(found["audio"]["duration"]) == pytest.approx(88 / 24, abs=0.05)
    assert float(found["video"]["start_time"]) == 0


def test_it_can_be_stopped_anywhere_and_leaves_nothing(host: RecordingHost) -> None:
    file = source(host)
    before = left_over(host.output_folder.parent)
    parts = [{"file": file, "in": 5}, {"file": file, "fade": 3}]
    render(host, *parts)
    assert host.steps == sorted(host.steps) and host.steps[-1] == host.total
    host.output_folder.joinpath("cut_00001_.mp4").unlink()
    steps = len(host.steps)
    for stop_after in (2, steps // 4, steps - 2):
        host.stop_after, host.checks = stop_after, 0
        with pytest.raises(Interrupted):
            render(host, *parts)
        assert left_over(host.output_folder.parent) == before


@pytest.mark.parametrize(("format_name", "box"), [("mp4 (h264)", b"avcC"), ("mp4 (h265)", b"hvcC")])
def test_a_file_with_half_its_parameters_is_not_copied(host: RecordingHost, format_name: str, box: bytes) -> None:
    file = file_of(host, source(host, format_name))
    assert coded_file(file) is not None
    data = bytearray(file.read_bytes())
    at = data.index(box)
    size = int.from_bytes(data[at - 4 : at], "big")
    # Four bytes of the record stay; what follows them becomes a box that is skipped.
    data[at - 4 : at] = (12).to_bytes(4, "big")
    data[at + 8 : at + 16] = (size - 12).to_bytes(4, "big") + b"free"
    file.write_bytes(data)
    assert coded_file(file) is None
