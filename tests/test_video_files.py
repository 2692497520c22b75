"""File names: resolved, contained, claimed once."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from advanced_models.errors import UserError
from advanced_models.video.files import Claim, claim
from video_support import clip, left_over, save


def _claim(root: Path, prefix: str, extension: str = ".mp4") -> Claim:
    return claim(root, prefix, extension, width=832, height=480)


def test_names_count_on_as_comfyui_does(tmp_path: Path) -> None:
    for name in ("clip_00007_.png", "clip_00003_.webm", "other_00050_.mp4", "clip_notes.txt", "clip_00009_x.mp4"):
        (tmp_path / name).touch()
    assert _claim(tmp_path, "clip").name == "clip_00008_.mp4"
    assert _claim(tmp_path, "clip").name == "clip_00009_.mp4"  # the first claim is still open


def test_tokens(tmp_path: Path) -> None:
    today = time.strftime("%Y-%m-%d")
    taken = _claim(tmp_path, "%date%/%date:yyyy-MM-dd%_%width%x%height%_%counter%_final")
    if time.strftime("%Y-%m-%d") == today:
        assert taken.subfolder == today
        assert taken.name == f"{today}_832x480_00001_final.mp4"
    parts = _claim(tmp_path, "%year%%month%%day%-%hour%%minute%%second%-%time%")
    assert re.fullmatch(r"\d{8}-\d{6}-\d\d-\d\d-\d\d_00001_\.mp4", parts.name)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [('a<b>:"|?*c', "a_b______c_00001_.mp4"), ("con", "_con_00001_.mp4"), ("clip\x00", "clip__00001_.mp4"), ("v. ", "v_00001_.mp4")],
)
def test_names_that_every_system_takes(tmp_path: Path, prefix: str, name: str) -> None:
    assert _claim(tmp_path, prefix).name == name


@pytest.mark.parametrize(
    "prefix",
    [
        "../evil",
        "a/../../evil",
        "..\\evil",
        "/etc/evil",
        "C:\\evil",
        "c:evil",
        "\\\\host\\share\\x",
        "",
        "  ",
        "folder/",
        ".",
        "%counter%/b",
    ],
)
def test_prefixes_that_lead_astray(tmp_path: Path, prefix: str) -> None:
    root = tmp_path / "output"
    with pytest.raises(UserError) as refusal:
        _claim(root, prefix)
    assert str(refusal.value).count(".") <= 4
    assert str(tmp_path) not in str(refusal.value)
    assert left_over(tmp_path) == []


def test_date_tokens_cannot_smuggle_a_path(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        _claim(tmp_path / "output", "%date:../../%x")
    assert left_over(tmp_path) == []


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "output", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "broken").symlink_to(tmp_path / "nowhere")
    for prefix in ("link/clip", "link/deeper/clip", "broken/clip"):
        with pytest.raises(UserError):
            _claim(root, prefix)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_the_output_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "output").symlink_to(tmp_path / "disk")
    assert _claim(tmp_path / "output", "a/clip").publish() == (tmp_path / "disk/a/clip_00001_.mp4").resolve()


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "video").touch()
    with pytest.raises(UserError, match="is a file"):
        _claim(tmp_path, "video/clip")


def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    taken = _claim(tmp_path, "clip")
    taken.part.write_bytes(b"ours")
    (tmp_path / taken.name).write_bytes(b"theirs")
    assert taken.publish().name == "clip_00002_.mp4"
    assert (tmp_path / "clip_00001_.mp4").read_bytes() == b"theirs"
    assert (tmp_path / "clip_00002_.mp4").read_bytes() == b"ours"
    assert left_over(tmp_path) == ["clip_00001_.mp4", "clip_00002_.mp4"]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    test_a_name_taken_meanwhile_is_not_overwritten(tmp_path)


def test_many_claims_at_once_differ(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _: _claim(tmp_path, "clip").name, range(40)))
    assert len(set(names)) == 40


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    _claim(tmp_path, "clip").discard()
    folder = claim(tmp_path, "pictures", "", width=1, height=1, is_folder=True)
    (folder.part / "x.png").touch()
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_runs_side_by_side_keep_their_own_files(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        saved = list(pool.map(lambda frames: save(tmp_path, clip(frames)), (3, 4, 5, 6)))
    assert sorted(each.frame_count for each in saved) == [3, 4, 5, 6]
    assert len({each.path for each in saved}) == 4
    assert len(left_over(tmp_path / "output")) == 4
