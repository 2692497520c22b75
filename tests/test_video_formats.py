"""Every format, read back by ffprobe and ffmpeg (by Pillow for WebP)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from advanced_models.video.formats import FORMATS, Encoder
from advanced_models.video.info import read_info
from PIL import Image
from video_support import BT709, clip, decode, host_in, needs_ffmpeg, numbered, probe, save

VIDEO = {
    ("mp4 (h264)", "8"): ("h264", "yuv420p"),
    ("mp4 (h264)", "10"): ("h264", "yuv420p10le"),
    ("mp4 (h265)", "8"): ("hevc", "yuv420p"),
    ("mp4 (h265)", "10"): ("hevc", "yuv420p10le"),
    ("mp4 (av1)", "8"): ("av1", "yuv420p"),
    ("mp4 (av1)", "10"): ("av1", "yuv420p10le"),
    ("webm (vp9)", "8"): ("vp9", "yuv420p"),
    ("webm (av1)", "8"): ("av1", "yuv420p"),
    ("mov (ProRes 422)", "auto"): ("prores", "yuv422p10le"),
    # ffmpeg reads ProRes 4444 at the 12 bits that the format may hold.
    ("mov (ProRes 4444)", "auto"): ("prores", "yuv444p12le"),
}
TAGS = {"prompt": json.dumps({"1": {"class_type": "VideoCombine"}}), "workflow": json.dumps({"nodes": []})}


@needs_ffmpeg
@pytest.mark.parametrize(("name", "depth"), VIDEO)
def test_video_files(tmp_path: Path, name: str, depth: str) -> None:
    images = clip(10)
    saved = save(tmp_path, images, name, 23.976, bit_depth=depth, quality="very high", tags=TAGS)
    found = probe(saved.path)
    video = found["video"]
    codec, pixel_format = VIDEO[name, depth]
    assert (video["codec_name"], video["pix_fmt"]) == (codec, pixel_format)
    assert (video["width"], video["height"], int(video["nb_read_frames"])) == (96, 64, 10)
    assert Fraction(video["avg_frame_rate"]) == pytest.approx(Fraction(24000, 1001), rel=2e-3)
    assert Fraction(video["r_frame_rate"]) == Fraction(24000, 1001)
    # The ProRes encoder takes its tags from the frames, where PyAV 14 can set the matrix alone.
    bare = codec == "prores" and not hasattr(av.VideoFrame, "color_primaries")
    for key in ("color_space",) if bare else ("color_space", "color_primaries", "color_transfer"):
        assert video[key] == "bt709"
    assert video["color_range"] == "tv"
    assert {key: found["tags"][key] for key in TAGS} == TAGS
    if codec == "hevc":
        assert video["codec_tag_string"] == "hvc1"
    if codec in ("h264", "hevc"):
        assert video["chroma_location"] == "center"
    # The picture itself: luma as decoded, against the formula.
    deep = "10" in pixel_format or "12" in pixel_format
    samples = decode(saved.path, "gray10le" if deep else "gray", np.uint16 if deep else np.uint8)
    # ffmpeg's grey is full range.
    luma = samples.reshape(10, 64, 96) / (1023 if deep else 255)
    expected = images.double().numpy() @ BT709[0]
    assert np.abs(luma - expected).mean() < 0.012


@needs_ffmpeg
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("channels", [3, 4])
def test_ffv1_is_lossless(tmp_path: Path, depth: int, channels: int) -> None:
    images = clip(4, 35, 51, channels)
    saved = save(tmp_path, images, "mkv (ffv1)", bit_depth=str(depth))
    peak = 2**depth - 1
    if depth == 8:
        found = decode(saved.path, "rgba" if channels == 4 else "rgb24").reshape(images.shape)
    else:
        planes = decode(saved.path, "gbrap10le" if channels == 4 else "gbrp10le", np.uint16).reshape(4, channels, 35, 51)
        found = np.moveaxis(planes[:, [2, 0, 1, 3][:channels]], 1, -1)
    assert np.abs(found - images.double().numpy() * peak).max() <= 0.5001


@needs_ffmpeg
def test_ten_bits_come_from_the_floats(tmp_path: Path) -> None:
    """A ramp finer than 8 bits keeps its steps."""
    ramp = torch.linspace(0.4, 0.45, 64).view(1, 1, 64, 1).expand(3, 64, 64, 3).contiguous()
    saved = save(tmp_path, ramp, "mov (ProRes 422)", quality="very high")
    luma = decode(saved.path, "yuv422p10le", np.uint16)[: 64 * 64].reshape(64, 64)
    assert len(np.unique(luma)) > 30


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "decoder", "tolerance"), [("webm (vp9)", "libvpx-vp9", 6), ("mov (ProRes 4444)", None, 3), ("apng", None, 0.51)]
)
def test_alpha_survives(tmp_path: Path, name: str, decoder: str | None, tolerance: float) -> None:
    images = clip(5, channels=4)
    saved = save(tmp_path, images, name, quality="very high")
    found = decode(saved.path, "rgba", decoder=decoder).reshape(5, 64, 96, 4)[..., 3]
    assert saved.has_alpha
    assert np.abs(found - images[..., 3].numpy() * 255).max() <= tolerance


def test_alpha_is_left_out_in_words(tmp_path: Path) -> None:
    saved = save(tmp_path, clip(3, channels=4), "mp4 (h264)")
    assert not saved.has_alpha
    assert saved.notes == ("mp4 (h264) at 8 bit holds no transparency; alpha was left out.",)


@needs_ffmpeg
def test_gif_has_a_good_palette(tmp_path: Path) -> None:
    images = clip(8)
    saved = save(tmp_path, images, "gif", 20)
    found = probe(saved.path)["video"]
    assert (int(found["nb_read_frames"]), found["r_frame_rate"]) == (8, "20/1")
    shown = decode(saved.path, "rgb24").reshape(8, 64, 96, 3) / 255
    blurred = shown.reshape(8, 8, 8, 12, 8, 3).mean(axis=(2, 4))
    expected = images.double().numpy().reshape(8, 8, 8, 12, 8, 3).mean(axis=(2, 4))
    assert np.abs(blurred - expected).mean() < 0.008  # dithering averages out
    with Image.open(saved.path) as picture:
        assert picture.info["loop"] == 0


def test_gif_with_transparency_and_a_number_of_plays(tmp_path: Path) -> None:
    images = clip(3, channels=4)
    images[..., 3] = (images[..., 3] > 0.5).float()
    with Image.open(save(tmp_path, images, "gif", 10, plays=3).path) as picture:
        assert picture.info["loop"] == 2  # repetitions after the first
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    assert np.array_equal(alpha > 0, images[0, ..., 3].numpy() > 0.5)


def test_long_gif_is_quantised_in_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advanced_models.video import palette

    monkeypatch.setattr(palette, "_RUN_BYTES", 3 * 64 * 96 * 4)
    saved = save(tmp_path, clip(11), "gif", 10)
    assert read_info(saved.path).frame_count == 11


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", ["webp", "webp (lossless)"])
def test_webp(tmp_path: Path, name: str, channels: int) -> None:
    images = clip(6, channels=channels)
    saved = save(tmp_path, images, name, 10, plays=2, quality="very high", tags=TAGS)
    with Image.open(saved.path) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (6, 2)
        shown = []
        for index in range(6):
            picture.seek(index)
            picture.load()
            assert picture.info["duration"] == 100
            shown.append(np.asarray(picture.convert("RGBA"), np.float64)[..., :channels])
        exif = picture.getexif()
    assert exif[0x0110] == "prompt:" + TAGS["prompt"]
    assert exif[0x010F] == "workflow:" + TAGS["workflow"]
    expected = np.floor(images.double().numpy() * 255 + 0.5)
    visible = expected[..., 3] > 0 if channels == 4 else np.ones(expected.shape[:-1], bool)
    error = np.abs(np.stack(shown) - expected)[visible]
    assert error.max() <= 1 if name == "webp (lossless)" else error.mean() < 4
    info = read_info(saved.path)
    assert (info.frame_count, info.width, info.height, set(info.tags)) == (6, 96, 64, {"prompt", "workflow"})


@pytest.mark.parametrize("channels", [3, 4])
def test_apng_is_lossless_and_carries_tags(tmp_path: Path, channels: int) -> None:
    images = clip(5, channels=channels)
    saved = save(tmp_path, images, "apng", 10, plays=4, tags=TAGS)
    with Image.open(saved.path) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (5, 4)
        picture.seek(4)
        shown = np.asarray(picture.convert("RGBA" if channels == 4 else "RGB"), np.float64)
        picture.load()
        assert {key: picture.text[key] for key in TAGS} == TAGS
    assert np.abs(shown - images[4].numpy() * 255).max() <= 0.51


def test_png_sequence(tmp_path: Path) -> None:
    images = clip(3)
    saved = save(tmp_path, images, "png sequence", tags=TAGS, prefix="sub/frames")
    files = sorted(saved.path.parent.iterdir())
    assert [file.name for file in files] == [f"frames_00001_{index:06d}.png" for index in (1, 2, 3)]
    assert saved.subfolder == "sub/frames_00001_"
    with Image.open(files[0]) as first, Image.open(files[2]) as last:
        assert first.text == TAGS  # type: ignore[attr-defined]
        assert np.abs(np.asarray(last, np.float64) - images[2].numpy() * 255).max() <= 0.51


@needs_ffmpeg
def test_mp4_starts_with_its_index(tmp_path: Path) -> None:
    data = save(tmp_path, clip(4)).path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@needs_ffmpeg
def test_frame_threads_keyframes_and_crf(tmp_path: Path) -> None:
    saved = save(tmp_path, clip(30), keyframe_interval=5, crf=31, speed="veryfast")
    settings = saved.path.read_bytes().split(b"options: ")[1][:1200]
    for option in (b"sliced_threads=0", b"crf=31.0", b"keyint=5"):
        assert option in settings


@needs_ffmpeg
@pytest.mark.parametrize("streamed", [False, True])
def test_ping_pong_and_plays(tmp_path: Path, streamed: bool) -> None:
    frames = numbered(4)
    source = Streamed(frames) if streamed else frames
    saved = save(tmp_path, source, "mkv (ffv1)", ping_pong=True, plays=2)
    shown = decode(saved.path, "gray").reshape(-1, 64 * 96)[:, 0]
    levels = sorted(set(shown.tolist()))
    assert [levels.index(value) for value in shown.tolist()] == [0, 1, 2, 3, 2, 1] * 2
    assert saved.frame_count == 12


class Streamed:
    """A decoder that hands frames over in chunks of three, once."""

    def __init__(self, frames: torch.Tensor, announced: int | None = None) -> None:
        self.frames = frames
        self.frame_count = len(frames) if announced is None else announced
        self.height, self.width, self.channels = frames.shape[1:]

    def chunks(self) -> Iterator[torch.Tensor]:
        yield from self.frames.split(3)


def test_streamed_frames_equal_the_tensor(tmp_path: Path) -> None:
    images = clip(10).to(torch.bfloat16)
    whole, streamed = save(tmp_path, images), save(tmp_path, Streamed(images))
    assert whole.path.read_bytes() == streamed.path.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type(tmp_path: Path, dtype: torch.dtype) -> None:
    saved = save(tmp_path, clip(3).to(dtype), "webm (vp9)")
    assert read_info(saved.path).frame_count == 3


@needs_ffmpeg
@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 1)])
def test_odd_sizes(tmp_path: Path, height: int, width: int) -> None:
    saved = save(tmp_path, clip(3, height, width))
    video = probe(saved.path)["video"]
    assert (video["height"], video["width"]) == (height + 1, width + 1)
    assert "needs even sides" in saved.notes[0]
    exact = probe(save(tmp_path, clip(3, height, width), "mkv (ffv1)").path)["video"]
    assert (exact["height"], exact["width"]) == (height, width)


def test_one_frame_and_nan(tmp_path: Path) -> None:
    images = clip(1)
    images[0, 0, 0, 0] = float("nan")
    saved = save(tmp_path, images)
    assert "not numbers (NaN)" in saved.notes[0]
    assert read_info(saved.path).frame_count == 1


@pytest.mark.parametrize("frames", [1, 2])
def test_hevc_of_fewer_frames_than_it_reorders(tmp_path: Path, frames: int) -> None:
    for _ in range(5):  # x265 leaves memory as it was where their decoding times should be
        saved = save(tmp_path, clip(frames), "mp4 (h265)", speed="medium")
        assert float(probe(saved.path)["video"]["duration"]) == pytest.approx(frames / 24, abs=1e-3)


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    host = host_in(tmp_path)
    save(tmp_path, clip(9), host=host)
    assert host.total == 9
    assert host.steps[-1] == 9
    assert host.steps == sorted(host.steps)


def test_hardware_falls_back_with_a_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved = save(tmp_path, clip(3), encoder="hardware if available")
    assert read_info(saved.path).codec == "h264"
    software = b"x264" in saved.path.read_bytes()
    assert software == ("No hardware encoder works here" in caplog.text)


def _with_hardware(monkeypatch: pytest.MonkeyPatch, *encoders: Encoder) -> None:
    form = FORMATS["mp4 (h264)"]
    monkeypatch.setitem(FORMATS, "mp4 (h264)", dataclasses.replace(form, hardware=encoders))


def test_the_first_encoder_that_really_encodes_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FFmpeg's own MPEG-4 encoder stands in for a chip: it is no x264, and it works everywhere."""
    refuses = Encoder("libx264", fixed={"preset": "no such preset"})
    _with_hardware(monkeypatch, Encoder("h264_nowhere"), refuses, Encoder("mpeg4"))
    with caplog.at_level("INFO"):
        saved = save(tmp_path, clip(3), encoder="hardware if available")
    assert read_info(saved.path).codec == "mpeg4"
    assert "Encoding with mpeg4" in caplog.text


@needs_ffmpeg
def test_an_encoder_with_its_own_pixel_format_gets_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = clip(5)
    plain = decode(save(tmp_path, images, crf=10).path, "yuv420p")
    software = FORMATS["mp4 (h264)"].encoder
    _with_hardware(monkeypatch, dataclasses.replace(software, native={"yuv420p": "nv12"}))
    repacked = decode(save(tmp_path, images, crf=10, encoder="hardware if available").path, "yuv420p")
    assert np.array_equal(plain, repacked)
