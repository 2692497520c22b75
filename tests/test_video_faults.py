"""What goes wrong while a video is written: no broken file under a final name, no foreign file reported as ours, nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import Interrupted, UserError
from advanced_models.video import formats, writer
from advanced_models.video.files import Claim
from advanced_models.video.info import read_info
from video_support import clip, host_in, left_over, save

# Runs in a process of its own: forks a child per point, which kills itself there without a chance to clean up.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    from advanced_models.video import encode, files, saved, writer
    from video_support import clip, save

    folder, frames = Path(sys.argv[1]), 12

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def before(owner, name):
        setattr(owner, name, die)

    def after(owner, name):
        original = getattr(owner, name)
        setattr(owner, name, lambda *a, **k: (original(*a, **k), die()))

    def at_frame(index):
        original, seen = encode.to_pixels, []
        def count(frame):
            seen.append(1)
            return die() if len(seen) > index else original(frame)
        encode.to_pixels = count

    points = [
        lambda: at_frame(0),
        lambda: at_frame(1),
        lambda: at_frame(6),
        lambda: at_frame(11),
        lambda: before(writer.ContainerWriter, "close"),
        lambda: after(writer.ContainerWriter, "close"),
        lambda: before(saved.os, "fsync"),
        lambda: before(files.Claim, "publish"),
        lambda: before(files.os, "link"),
        lambda: after(files.os, "link"),
        lambda: after(files.Claim, "publish"),
    ]
    for prepare in points:
        child = os.fork()
        if child == 0:
            prepare()
            save(folder, clip(frames))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    print(len(points))
"""

RACING = """
    import json, os, sys
    from pathlib import Path
    from advanced_models.video.info import read_info
    from video_support import clip, save

    folder = Path(sys.argv[1])
    children = []
    for frames in range(3, 11):
        receive, send = os.pipe()
        if os.fork() == 0:
            saved = save(folder, clip(frames))
            os.write(send, json.dumps([frames, saved.frame_count, saved.path.name]).encode())
            os._exit(0)
        os.close(send)
        children.append(receive)
    print(json.dumps([json.loads(os.read(receive, 1000)) for receive in children]))
"""


def _run(script: str, folder: Path) -> str:
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_process_leaves_no_broken_file_under_a_final_name(tmp_path: Path) -> None:
    points = int(_run(KILLED, tmp_path))
    files = left_over(tmp_path / "output")
    finished = [name for name in files if not name.endswith(".part")]
    assert points == 11
    # Killed after the hard link and after publishing: there the file is whole.
    assert len(finished) == 2
    for name in finished:
        assert read_info(tmp_path / "output" / name).frame_count == 12
    # The next run takes a name that is none of these.
    assert save(tmp_path, clip(3)).path.name not in files


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_race_for_a_name_get_one_each(tmp_path: Path) -> None:
    results = json.loads(_run(RACING, tmp_path))
    assert len({name for _, _, name in results}) == 8
    for frames, reported, name in results:
        assert frames == reported == read_info(tmp_path / "output" / name).frame_count
    assert len(left_over(tmp_path / "output")) == 8


@pytest.mark.parametrize("name", ["mp4 (h264)", "gif", "webp", "png sequence", "mkv (ffv1)"])
def test_a_file_size_limit(tmp_path: Path, name: str) -> None:
    noise = torch.rand(6, 96, 96, 3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(UserError, match="disk is full"):
            save(tmp_path, noise, name, 10, quality="very high")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "output").iterdir()) == []


def test_a_full_disk(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(output)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        with pytest.raises(UserError, match="disk is full"):
            save(tmp_path, torch.rand(8, 128, 128, 3), quality="very high")
        assert list(output.iterdir()) == []
        save(tmp_path, clip(3, 16, 16), tags={})
        assert left_over(output) == ["clip_00001_.mp4"]
    finally:
        subprocess.run(["umount", str(output)], check=True)


def _with_encoder(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    form = formats.FORMATS["mp4 (h264)"]
    changed = dataclasses.replace(form, encoder=dataclasses.replace(form.encoder, **changes))
    monkeypatch.setitem(formats.FORMATS, "mp4 (h264)", changed)


def test_an_encoder_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_encoder(monkeypatch, speed={"ultrafast": {"preset": "no such preset"}})
    with pytest.raises(UserError, match=r"The encoder for mp4 \(h264\) failed"):
        save(tmp_path, clip(3))
    assert left_over(tmp_path / "output") == []


def test_a_frame_that_cannot_be_read(tmp_path: Path) -> None:
    class Broken:
        frame_count, height, width, channels = 9, 64, 96, 3

        def chunks(self) -> Iterator[torch.Tensor]:
            yield clip(5)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        save(tmp_path, Broken())
    assert left_over(tmp_path / "output") == []


@pytest.mark.parametrize(
    ("chunks", "sentence"),
    [
        ([clip(5)], "ended after 5 of 9"),
        ([], "ended after 0 of 9"),
        ([clip(5), clip(4, 32, 96)], "changed their size"),
        ([clip(5), clip(4, channels=4)], "changed their size"),
    ],
)
def test_a_source_that_does_not_keep_its_word(tmp_path: Path, chunks: list[torch.Tensor], sentence: str) -> None:
    class Unreliable:
        frame_count, height, width, channels = 9, 64, 96, 3

        def chunks(self) -> Iterator[torch.Tensor]:
            yield from chunks

    with pytest.raises(UserError, match=sentence):
        save(tmp_path, Unreliable())
    assert left_over(tmp_path / "output") == []


@pytest.mark.parametrize("name", ["mp4 (h264)", "gif", "webp", "png sequence"])
@pytest.mark.parametrize("after", [0, 3, 11])
def test_an_interruption_removes_the_part(tmp_path: Path, name: str, after: int, caplog: pytest.LogCaptureFixture) -> None:
    host = host_in(tmp_path)
    host.stop_after = after
    with caplog.at_level("INFO"), pytest.raises(Interrupted):
        save(tmp_path, clip(12), name, 10, host=host)
    assert list((tmp_path / "output").iterdir()) == []
    assert "was stopped; the unfinished file was removed" in caplog.text
    host.stop_after = None
    assert save(tmp_path, clip(12), name, 10, host=host).frame_count == 12


def _truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _empty(file: Path) -> None:
    os.truncate(file, 0)


@pytest.mark.parametrize("damage", [_truncate, _empty])
@pytest.mark.parametrize("name", ["mp4 (h264)", "mkv (ffv1)", "gif", "webp", "apng"])
def test_a_damaged_part_is_never_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], name: str
) -> None:
    """As when another program, or a failing disk, spoils the file behind the encoder's back."""
    original = writer.ContainerWriter.close

    def spoil(self: Any) -> None:
        original(self)
        damage(self._file)

    monkeypatch.setattr(writer.ContainerWriter, "close", spoil)
    with pytest.raises(UserError):
        save(tmp_path, clip(12), name, 10)
    assert left_over(tmp_path / "output") == []


def test_a_failing_publication_removes_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Claim) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Claim, "publish", fail)
    with pytest.raises(UserError, match="Permission denied"):
        save(tmp_path, clip(3))
    assert left_over(tmp_path / "output") == []
