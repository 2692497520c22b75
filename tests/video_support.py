"""What the video tests share: small clips, an independent reader (ffprobe and ffmpeg), and a host that records."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import advanced_models.host
import numpy as np
import pytest
import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.video.encode import save_video
from advanced_models.video.frames import frames_of
from advanced_models.video.saved import SavedVideo
from advanced_models.video.settings import settings_for

needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffprobe") and shutil.which("ffmpeg")), reason="ffmpeg and ffprobe are not installed")

# The matrix of ITU-R BT.709-6, written out: rows Y, Cb, Cr.
BT709 = np.array(
    [
        [0.2126, 0.7152, 0.0722],
        [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5],
        [0.5, -0.7152 / 1.5748, -0.0722 / 1.5748],
    ]
)


class RecordingHost(StandaloneHost):
    """Notes the progress, and stops the run after `stop_after` checks where that is set."""

    steps: list[int]
    total = 0
    stop_after: int | None = None
    checks = 0

    def progress(self, total: int, *_: Any) -> Any:
        self.total, self.steps = total, []
        host = self

        class Bar:
            def update(self, done: int, *_: Any) -> None:
                host.steps.append(done)

        return Bar()

    def raise_if_interrupted(self) -> None:
        self.checks += 1
        if self.stop_after is not None and self.checks > self.stop_after:
            self.interrupt()
        super().raise_if_interrupted()


def clip(frames: int = 12, height: int = 64, width: int = 96, channels: int = 3) -> torch.Tensor:
    """Smooth colours that drift, so that encoders lose little: [frames, height, width, channels] float32."""
    t = torch.arange(frames).view(-1, 1, 1) / max(frames, 2)
    y = torch.linspace(0, 1, height).view(1, -1, 1)
    x = torch.linspace(0, 1, width).view(1, 1, -1)
    planes = [0.5 + 0.4 * torch.sin(2 * x + 3 * t + phase) * torch.cos(2 * y - 2 * t + phase) for phase in (0.0, 1.0, 2.0)]
    if channels == 4:
        planes.append((x + 0 * y + 0 * t).clamp(0, 1))
    return torch.stack(planes, dim=-1)


def numbered(frames: int, height: int = 64, width: int = 96) -> torch.Tensor:
    """Grey frames whose brightness is their number."""
    values = torch.linspace(0.1, 0.9, frames).view(-1, 1, 1, 1)
    return values.expand(frames, height, width, 3).contiguous()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordingHost:
    """A host in place for the nodes of this test alone."""
    host = host_in(tmp_path)
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    return host


def host_in(folder: Path) -> RecordingHost:
    return RecordingHost.below(folder)


def save(folder: Path, images: Any, format_name: str = "mp4 (h264)", rate: object = 24, **options: Any) -> SavedVideo:
    """Save below `folder`/output; options of `settings_for` and of `save_video` mixed."""
    host = options.pop("host", None) or host_in(folder)
    own = {key: options.pop(key) for key in ("sound", "trim_to_sound", "tags") if key in options}
    prefix = options.pop("prefix", "clip")
    options.setdefault("speed", "ultrafast")
    settings = settings_for(format_name, rate, **options)
    return save_video(frames_of(images), settings, host, folder=host.output_folder, prefix=prefix, **own)


def probe(file: Path) -> dict[str, Any]:
    """ffprobe's view: {"video": stream, "audio": stream or None, "tags": lower-case keys}; frames counted by decoding."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", str(file)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    streams = {stream["codec_type"]: stream for stream in found["streams"]}
    tags = {key.lower(): value for key, value in found["format"].get("tags", {}).items()}
    return {"video": streams["video"], "audio": streams.get("audio"), "tags": tags, "format": found["format"]}


def decode(file: Path, pixel_format: str, dtype: type = np.uint8, decoder: str | None = None) -> np.ndarray[Any, Any]:
    """All samples of a file as ffmpeg decodes them, in one flat array."""
    command = ["ffmpeg", "-v", "error", *(["-c:v", decoder] if decoder else []), "-i", str(file)]
    command += ["-f", "rawvideo", "-pix_fmt", pixel_format, "-fps_mode", "passthrough", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, dtype)


def hashes(file: Path) -> list[str]:
    """Each decoded frame's hash, by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", str(file), "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


def keyframes(file: Path) -> list[int]:
    """The numbers of the keyframes, by ffprobe."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "frame=key_frame", "-of", "csv=p=0", str(file)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return [number for number, line in enumerate(lines) if line.startswith("1")]


def left_over(folder: Path) -> list[str]:
    """Every file below a folder, relative."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
