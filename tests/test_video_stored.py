"""Files that the page names: found inside the host's folders alone, described, copied out of the temp folder, and copied small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.video.encode import save_video
from advanced_models.video.frames import FileFrames, frames_of
from advanced_models.video.proxy import KEYFRAME_INTERVAL, LONGEST_SIDE, proxy_of
from advanced_models.video.settings import settings_for
from advanced_models.video.stored import facts, keep, stored_file
from video_support import RecordingHost, clip, decode, host_in, left_over, needs_ffmpeg, numbered, probe


@pytest.fixture
def host(tmp_path: Path) -> RecordingHost:
    return host_in(tmp_path)


def preview(
    host: RecordingHost, images: torch.Tensor, format_name: str = "mp4 (h264)", prefix: str = "sub/clip", **options: Any
) -> dict[str, Any]:
    """A file in the temp folder, as the page names it."""
    settings = settings_for(format_name, 24, speed="ultrafast", **options)
    saved = save_video(frames_of(images), settings, host, folder=host.temp_folder, prefix=prefix)
    return {"filename": saved.path.name, "subfolder": saved.subfolder, "type": "temp"}


@pytest.mark.parametrize(
    "name",
    [
        {"filename": "../secret.mp4", "subfolder": "", "type": "output"},
        {"filename": "secret.mp4", "subfolder": "..", "type": "output"},
        {"filename": "secret.mp4", "subfolder": "a/../..", "type": "output"},
        {"filename": "link.mp4", "subfolder": "", "type": "output"},
        {"filename": "missing.mp4", "subfolder": "", "type": "output"},
        {"filename": "", "subfolder": "", "type": "output"},
        {"filename": "a\0.mp4", "subfolder": "", "type": "output"},
        {"filename": 3, "subfolder": "", "type": "output"},
        {"filename": "secret.mp4", "subfolder": "", "type": "user"},
        {"filename": "ABSOLUTE", "subfolder": "", "type": "output"},
        None,
    ],
)
def test_nothing_outside_the_folders_is_found(host: RecordingHost, tmp_path: Path, name: Any) -> None:
    (host.output_folder / "a").mkdir(parents=True)
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (host.output_folder / "link.mp4").symlink_to(secret)
    if isinstance(name, dict) and name["filename"] == "ABSOLUTE":
        name = {**name, "filename": str(secret)}
    with pytest.raises(UserError):
        stored_file(name, host)


def test_a_file_is_described_as_videocombine_does(host: RecordingHost) -> None:
    name = preview(host, clip(9))
    assert facts(name, host) == {
        **name,
        "format": "video/mp4",
        "frame_rate": [24, 1],
        "frame_count": 9,
        "duration": pytest.approx(9 / 24),
        "width": 96,
        "height": 64,
        "has_audio": False,
    }


def test_a_preview_is_copied_and_overwrites_nothing(host: RecordingHost) -> None:
    name = preview(host, clip(3))
    first, second = keep(name, host), keep(name, host)
    assert [first["filename"], second["filename"]] == ["clip_00001_.mp4", "clip_00002_.mp4"]
    assert first["subfolder"] == "sub" and first["type"] == "output"
    original = (host.temp_folder / "sub" / name["filename"]).read_bytes()
    assert left_over(host.output_folder) == ["sub/clip_00001_.mp4", "sub/clip_00002_.mp4"]
    assert (host.output_folder / "sub" / "clip_00002_.mp4").read_bytes() == original
    with pytest.raises(UserError, match="temp folder"):
        keep(first, host)


@needs_ffmpeg
@pytest.mark.parametrize("format_name", ["mov (ProRes 422)", "mkv (ffv1)", "mp4 (h265)"])
def test_a_proxy_holds_the_same_frames(host: RecordingHost, format_name: str) -> None:
    name = preview(host, numbered(30, 72, 1600), format_name)
    host.stop_after = 0  # the user stops the running node: the copy is none of its work
    proxy = proxy_of(name, host)
    file = host.temp_folder / proxy["subfolder"] / proxy["filename"]
    stream = probe(file)["video"]
    assert (stream["codec_name"], stream["pix_fmt"], stream["nb_read_frames"]) == ("h264", "yuv420p", "30")
    assert (stream["width"], stream["height"]) == (LONGEST_SIDE, 58)
    grey = decode(file, "gray").reshape(30, -1).mean(axis=1)
    wanted = 255 * torch.linspace(0.1, 0.9, 30).numpy()
    assert abs(grey - wanted).max() < 2
    again = proxy_of(name, host)
    assert again == proxy and KEYFRAME_INTERVAL < 30


def test_a_proxy_keeps_transparency(host: RecordingHost) -> None:
    proxy = proxy_of(preview(host, clip(4, channels=4), "mov (ProRes 4444)"), host)
    assert (proxy["format"], proxy["type"], proxy["frame_count"]) == ("video/webm", "temp", 4)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_proxy_of_an_animated_webp_holds_its_frames(host: RecordingHost, channels: int) -> None:
    images = numbered(12, 64, 96)
    images = torch.cat([images, torch.ones(12, 64, 96, 1)], dim=-1) if channels == 4 else images
    name = preview(host, images, "webp (lossless)")
    proxy = proxy_of(name, host)
    assert proxy["frame_count"] == 12
    frames = torch.cat(list(FileFrames(str(host.temp_folder / proxy["subfolder"] / proxy["filename"])).chunks()))[..., :3]
    assert (frames.mean(dim=(1, 2, 3)) - torch.linspace(0.1, 0.9, 12)).abs().max() < 2 / 255


def test_a_damaged_webp_is_refused(host: RecordingHost) -> None:
    name = preview(host, numbered(12, 64, 96), "webp")
    file = host.temp_folder / name["subfolder"] / name["filename"]
    content = bytearray(file.read_bytes())
    content[content.rindex(b"ANMF") + 32 :] = bytes(len(content) - content.rindex(b"ANMF") - 32)
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        proxy_of(name, host)
