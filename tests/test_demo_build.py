"""Where small models may be written, and what names are understood."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from advanced_models.cli import main
from advanced_models.demo import build as building
from advanced_models.demo.build import BUILDERS, build, model_id
from advanced_models.errors import UserError


def test_architectures_and_ids_in_any_case() -> None:
    assert model_id("flux") == "FLUX.1-dev"
    assert model_id("flux.1-SCHNELL") == "FLUX.1-schnell"


def test_unknown_name_lists_what_can_be_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "FLUX.1-def", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "Did you mean FLUX.1-dev?" in message
    assert all(model in message for model in BUILDERS)
    assert not (tmp_path / "out").exists()


def test_unknown_dtype(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bf16, fp16, fp32"):
        build("flux", tmp_path / "out", dtype="int3")


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "mine" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("keep me", encoding="utf-8")
    assert main(["tiny", "flux", str(tmp_path / "mine")]) == 2
    assert "'mine'" in capsys.readouterr().err
    assert [path.name for path in theirs.parent.iterdir()] == ["notes.txt"]
    assert theirs.read_text(encoding="utf-8") == "keep me"


def test_tiny_replaces_what_it_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"
    for name in ("FLUX.1-dev", "FLUX.1-schnell"):
        assert main(["tiny", name, str(folder)]) == 0
        assert name in capsys.readouterr().out
    assert '"guidance_embeds": false' in (folder / "transformer" / "config.json").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_build_that_fails_leaves_the_old_model_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / building.MARKER).write_text("an earlier build", encoding="utf-8")

    def fail(unfinished: Path, dtype: str) -> None:
        (unfinished / "model_index.json").write_text("{", encoding="utf-8")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(building.BUILDERS, "FLUX.1-dev", fail)
    with pytest.raises(UserError, match="No space left on device"):
        build("flux", folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (folder / building.MARKER).read_text(encoding="utf-8") == "an earlier build"
