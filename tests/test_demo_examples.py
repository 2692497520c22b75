"""The demo: shipped examples run with small models, whatever they need is made, and what was made is said."""

from __future__ import annotations

from pathlib import Path

import advanced_models.host
import av
import numpy as np
import pytest
from advanced_models.cli import main
from advanced_models.demo.build import BUILDERS, MARKER
from advanced_models.demo.cache import cache_folder, cached_models
from advanced_models.demo.classifier import classify
from advanced_models.demo.clips import motion_of
from advanced_models.demo.pictures import draw_example
from PIL import Image


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for this test, and the host as it was afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(advanced_models.host, "_standalone", None)
    return tmp_path / "cache"


def test_inpainting_runs_and_the_file_is_named(own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["demo", "--out", str(out), "--only", "flux_inpaint"]) == 0
    (made,) = [file for file in out.rglob("*.png") if file.parent.name != "input"]
    with Image.open(made) as picture:
        assert picture.size == (64, 64)
        assert {"prompt", "workflow"} <= set(picture.info)
        seen = classify(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)
    assert seen is not None
    assert (seen.shape, seen.colour, seen.background) == ("circle", "blue", "white")
    printed = capsys.readouterr().out
    assert str(made) in printed
    assert "64 x 64" in printed
    assert "1 of 1 examples ran" in printed


def test_a_still_becomes_a_video_that_moves_as_asked(own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["demo", "--out", str(out), "--only", "wan_5b_image_to_video"]) == 0
    (made,) = out.rglob("*.mp4")
    with av.open(made) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.float32) / 255
    assert frames.shape == (9, 64, 64, 3)
    assert motion_of(frames) == "up"
    assert "Trained to do what they are asked: Wan2.2-TI2V-5B." in capsys.readouterr().out


def test_unknown_example(own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "out"), "--only", "flux_inpant"]) == 2
    assert "flux_inpaint" in capsys.readouterr().err


def test_models_are_built_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cached_models(["FLUX.1-schnell"])
    assert own_cache in folder.parents
    assert (folder / "diffusers" / "FLUX.1-schnell" / MARKER).is_file()
    monkeypatch.setitem(BUILDERS, "FLUX.1-schnell", lambda folder, dtype: pytest.fail("built again"))
    assert cached_models(["FLUX.1-schnell"]) == folder == cache_folder()


def test_the_example_picture_is_a_picture_and_a_mask(tmp_path: Path) -> None:
    draw_example(tmp_path / "input" / "example.png")
    with Image.open(tmp_path / "input" / "example.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (512, 512))
        assert len(set(picture.convert("RGB").getdata())) >= 5
        covered = sum(1 for value in picture.getchannel("A").getdata() if value == 0) / 512**2
    assert covered == pytest.approx(3.14159 * 48**2 / 512**2, rel=0.05)  # a disc of radius 48
