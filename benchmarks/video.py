"""What encoding a clip costs: our encoder beside the usual ways to do the same.

    python benchmarks/video.py [--sizes 832x480 1280x720] [--presets medium ultrafast] [--frames 240] [--runs 3]

Ways, interleaved run by run, each in a process of its own, H.264 at equal CRF and preset:

  ours   `save_video`, with everything it does: conversion, tags, faststart, reading the file back
  core   ComfyUI's own `VideoFromComponents.save_to`, where COMFYUI_PATH names a checkout (COMFYUI_PYTHON: its interpreter)
  pipe   ffmpeg fed with rgb24 through a pipe, frames converted by numpy: the way of most node packs
  x264   the encoder alone, on frames that already are yuv420p: the floor

CPU seconds count all threads and child processes; memory is the peak above what the process held before, child processes included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CRF = 19
RATE = 24
WAYS = ("ours", "core", "pipe", "x264")

child_peak: list[float] = []
"""MiB of the child process, where there is one."""


def clip(frames: int, width: int, height: int) -> NDArray[np.float32]:
    """A camera pan over a smooth texture, with a disc that moves against it: about as hard to encode as generated video."""
    random = np.random.default_rng(7)
    texture = np.zeros((height * 2, width * 2, 3), np.float32)
    for cells, weight in ((6, 0.45), (24, 0.25), (96, 0.18), (400, 0.12)):
        coarse = random.random((cells + 2, cells + 2, 3), dtype=np.float32)
        rows = np.linspace(0, cells, texture.shape[0], dtype=np.float32)
        columns = np.linspace(0, cells, texture.shape[1], dtype=np.float32)
        texture += weight * _bilinear(coarse, rows, columns)
    shown = np.empty((frames, height, width, 3), np.float32)
    row, column = np.mgrid[0:height, 0:width]
    for index in range(frames):
        top, left = int(height * (0.5 + 0.45 * np.sin(index / 60))), int(width * (0.5 + 0.45 * np.cos(index / 75)))
        shown[index] = texture[top : top + height, left : left + width]
        centre = width * (0.2 + 0.6 * (index % 120) / 120)
        disc = (row - height / 2) ** 2 + (column - centre) ** 2 < (height / 6) ** 2
        shown[index][disc] = 1 - shown[index][disc]
    return shown


def _bilinear(grid: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    r, c = rows.astype(int), columns.astype(int)
    fr, fc = (rows - r)[:, None, None], (columns - c)[None, :, None]
    upper = grid[r][:, c] * (1 - fc) + grid[r][:, c + 1] * fc
    lower = grid[r + 1][:, c] * (1 - fc) + grid[r + 1][:, c + 1] * fc
    return np.asarray(upper * (1 - fr) + lower * fr, dtype=np.float32)


def ours(frames: Any, preset: str, folder: Path) -> Iterator[None]:
    import av  # noqa: F401  (as for `core` and `x264`: importing it is not encoding)
    from advanced_models.host.standalone import StandaloneHost
    from advanced_models.video.encode import save_video
    from advanced_models.video.frames import frames_of
    from advanced_models.video.settings import settings_for

    settings = settings_for("mp4 (h264)", RATE, speed=preset, crf=CRF)
    host = StandaloneHost.below(folder)
    yield
    save_video(frames_of(frames), settings, host, folder=folder, prefix="ours")


def core(frames: Any, preset: str, folder: Path) -> Iterator[None]:
    """ComfyUI's encoder with our CRF and preset, which it does not offer itself."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    sys.argv = sys.argv[:1]
    import av
    from comfy_api.latest import InputImpl, Types

    real_open = av.open

    class Output:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def __enter__(self) -> Output:
            return self

        def __exit__(self, *_: object) -> None:
            self._container.close()

        def add_stream(self, codec: str, **kwargs: Any) -> Any:
            kwargs["options"] = {**(kwargs.get("options") or {}), "crf": str(CRF), "preset": preset}
            return self._container.add_stream(codec, **kwargs)

    def patched(file: Any, mode: str = "r", **kwargs: Any) -> Any:
        container = real_open(file, mode, **kwargs)
        return Output(container) if mode == "w" else container

    av.open = patched
    components = Types.VideoComponents(images=frames, audio=None, frame_rate=Fraction(RATE))
    video = InputImpl.VideoFromComponents(components)
    yield
    video.save_to(str(folder / "core.mp4"))


def pipe(frames: Any, preset: str, folder: Path) -> Iterator[None]:
    height, width = frames.shape[1:3]
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE), "-i", "-"]
    command += ["-vf", "scale=out_color_matrix=bt709", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", str(CRF), "-preset", preset]
    command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", str(folder / "pipe.mp4")]
    yield
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for frame in frames:
            values = frame.numpy() * 255 + 0.5
            process.stdin.write(np.clip(values, 0, 255).astype(np.uint8).tobytes())
        # Before the last frames are flushed, because a process that has ended cannot be asked; what the child reports afterwards counts
        # the memory of this process, from which it was forked.
        child_peak.append(_memory("VmHWM", process.pid))
        process.stdin.close()


def x264(frames: Any, preset: str, folder: Path) -> Iterator[None]:
    import av
    from advanced_models.video.colour import Converter

    height, width = frames.shape[1:3]
    convert = Converter("yuv420p", height, width)
    ready = [convert(frame.numpy())[0] for frame in frames]
    yield
    with av.open(str(folder / "x264.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": str(CRF), "preset": preset})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_type = "FRAME"
        for pts, frame in enumerate(ready):
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(way: str, size: str, preset: str, frames: int, folder: Path) -> dict[str, float]:
    """Run one way once in this process."""
    import torch

    width, height = (int(side) for side in size.split("x"))
    images = torch.from_numpy(clip(frames, width, height))
    # Everything before the yield is preparation.
    steps = {"ours": ours, "core": core, "pipe": pipe, "x264": x264}[way](images, preset, folder)
    next(steps)
    _reset_peak()
    held, wall, spent = _memory("VmRSS"), time.perf_counter(), _cpu()
    for _ in steps:
        pass
    return {
        "cpu": _cpu() - spent,
        "wall": time.perf_counter() - wall,
        "memory": _memory("VmHWM") - held + sum(child_peak),
        "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.suffix == ".mp4"),
    }


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory(field: str, process: int | str = "self") -> float:
    """A memory figure of a process in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU seconds and peak memory of four ways to encode one clip.")
    parser.add_argument("--sizes", nargs="+", default=["832x480", "1280x720"])
    parser.add_argument("--presets", nargs="+", default=["medium", "ultrafast"])
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--one", nargs=3, metavar=("WAY", "SIZE", "PRESET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        way, size, preset = options.one
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(way, size, preset, options.frames, Path(folder))))
        return 0
    ways = [way for way in options.ways if way != "core" or os.environ.get("COMFYUI_PATH")]
    if shutil.which("ffmpeg") is None:
        ways.remove("pipe")
    print(f"H.264, CRF {CRF}, {options.frames} frames, {os.cpu_count()} cores, median of {options.runs} interleaved runs\n")
    for size in options.sizes:
        for preset in options.presets:
            _compare(ways, size, preset, options.frames, options.runs)
    return 0


def _compare(ways: list[str], size: str, preset: str, frames: int, runs: int) -> None:
    results: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            python = os.environ.get("COMFYUI_PYTHON", sys.executable) if way == "core" else sys.executable
            command = [python, __file__, "--one", way, size, preset, "--frames", str(frames)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[way].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{size} {preset}\n  way   CPU s (min-max)       wall s   peak MiB     MB   CPU / ours")
    base = statistics.median(run["cpu"] for run in results["ours"]) if "ours" in results else float("nan")
    for way in ways:
        cpu = [run["cpu"] for run in results[way]]
        middle = {key: statistics.median(run[key] for run in results[way]) for key in ("cpu", "wall", "memory", "bytes")}
        spread = f"({min(cpu):.2f}-{max(cpu):.2f})"
        print(
            f"  {way:5} {middle['cpu']:6.2f} {spread:14} {middle['wall']:8.2f} {middle['memory']:10.0f} "
            f"{middle['bytes'] / 1e6:6.2f} {middle['cpu'] / base:12.2f}",
            flush=True,
        )
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
