"""The doctor: what is broken is named with its remedy, and nothing broken stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from advanced_models.cli.doctor import lines
from advanced_models.host.environment import Finding, Report, explain_import_error, probe
from advanced_models.host.packages import conflicts


def fake_package(folder: Path, name: str, version: str, code: str, *requirements: str) -> None:
    """Write a package that pip would call installed."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code, encoding="utf-8")
    metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}", encoding="utf-8")


def doctor(path: Path | None = None) -> tuple[int, dict[str, Any]]:
    """Run the command in a process of its own, with `path` before everything installed."""
    environment = os.environ | ({"PYTHONPATH": os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])} if path else {})
    command = [sys.executable, "-m", "advanced_models", "doctor", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return ended.returncode, json.loads(ended.stdout)


def raised(error: BaseException, cause: BaseException) -> BaseException:
    """`error` as it looks when a library raised it because of `cause`."""
    error.__cause__ = cause
    return error


def test_a_broken_torchvision_is_named_as_what_breaks_the_libraries(tmp_path: Path) -> None:
    fake_package(tmp_path, "torchvision", "0.1.0", "raise RuntimeError('operator torchvision::nms does not exist')", "torch==1.0.0")
    code, report = doctor(tmp_path)
    assert code == 1
    assert not report["healthy"]
    findings = {finding["name"]: finding for finding in report["findings"]}
    for name in ("torchvision", "diffusers FluxPipeline"):
        assert "torchvision" in findings[name]["problem"]
        assert "pip uninstall torchvision" in findings[name]["remedy"]
    assert "needs torch ==1.0.0" in findings["torchvision"]["problem"]
    assert findings["transformers"]["problem"] is None  # imports, and only its parts do not


def test_this_environment_is_healthy_with_every_version() -> None:
    code, report = doctor()
    broken = [finding for finding in report["findings"] if finding["problem"] and finding["needed"]]
    assert (code, broken) == (0, [])
    versions = {finding["name"]: finding["version"] for finding in report["findings"]}
    assert versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    for name in ("torch", "diffusers", "transformers", "accelerate", "huggingface_hub", "safetensors", "sentencepiece", "av"):
        assert versions[name]
    assert report["device"]["main_memory_bytes"] > 2**30


def test_a_library_that_ends_the_process_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, "fatal", "1.0", "import os; os._exit(7)")
    fake_package(tmp_path, "noisy", "1.0", "print('hello'); __version__ = '1.0'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    reports = probe(["json", "fatal", "noisy", "noisy:part"])
    assert reports["json"]["causes"] == []
    assert "code 7" in reports["fatal"]["causes"][0]
    assert reports["noisy"]["version"] == "1.0"
    assert "AttributeError" in reports["noisy:part"]["causes"][0]


def test_versions_that_cannot_live_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As published: transformers 4.57 wants a hub before 1.0, diffusers 0.42 one after 1.32.
    fake_package(tmp_path, "diffusers", "0.42.1", "", "huggingface-hub<3.0,>=1.32.0")
    fake_package(tmp_path, "transformers", "4.57.6", "", "huggingface-hub<1.0,>=0.34.0")
    fake_package(tmp_path, "huggingface_hub", "1.32.0", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    (conflict,) = [found for found in conflicts() if found.problem.startswith("transformers")]
    assert conflict.package == "huggingface_hub"
    assert "transformers 4.57.6 needs huggingface_hub <1.0,>=0.34.0, and 1.32.0 is installed" in conflict.problem
    assert "pip install --upgrade" in conflict.remedy
    assert "transformers" in conflict.remedy


def test_a_version_that_suits_all_is_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, "diffusers", "0.36.0", "", "huggingface-hub<2.0,>=0.34.0")
    fake_package(tmp_path, "transformers", "5.23.0", "", "huggingface-hub<3.0,>=1.20.0")
    fake_package(tmp_path, "huggingface_hub", "2.4.0", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    # Other packages that are really installed may object to this hub as well; there is one answer to all.
    (remedy,) = {found.remedy for found in conflicts() if found.package == "huggingface_hub"}
    assert remedy.startswith('pip install "huggingface_hub')
    assert "<2.0" in remedy
    assert ">=1.20.0" in remedy


def test_builds_for_different_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, "torch", "2.13.0+cpu", "")
    fake_package(tmp_path, "torchaudio", "2.13.0+cu128", "", "torch==2.13.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    (conflict,) = [found for found in conflicts() if found.package == "torchaudio"]
    assert "2.13.0+cpu" in conflict.problem


HIDDEN = "Could not import module 'CLIPImageProcessor'. Are this object's requirements defined correctly?"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            raised(ModuleNotFoundError(HIDDEN), RuntimeError("operator torchvision::nms does not exist")),
            ["torchvision is broken or does not match the installed torch", "pip uninstall torchvision"],
        ),
        (
            raised(ModuleNotFoundError(HIDDEN), OSError("libcudart.so.13: cannot open shared object file (torchaudio/_torchaudio.so)")),
            ["torchaudio is broken"],
        ),
        (ModuleNotFoundError("No module named 'google.protobuf'"), ["protobuf is not installed. pip install protobuf"]),
        (
            ImportError("T5Tokenizer requires the SentencePiece library but it was not found in your environment."),
            ["pip install sentencepiece"],
        ),
        (
            ImportError("cannot import name 'Flux9Pipeline' from 'diffusers' (/home/me/diffusers/__init__.py)"),
            ["The installed diffusers", "has no Flux9Pipeline", "pip install --upgrade diffusers"],
        ),
        (ImportError("something unheard of"), ["something unheard of", "advanced-models doctor"]),
    ],
)
def test_import_errors_are_explained(error: BaseException, words: list[str]) -> None:
    explanation = explain_import_error(error)
    for word in words:
        assert word in explanation
    assert "/home/me" not in explanation


def test_the_printed_report_gives_each_remedy_once() -> None:
    remedy = "pip install --upgrade x"
    broken = [Finding(name, "1.0", problem="does not work.", remedy=remedy) for name in ("one", "two")]
    text = "\n".join(lines(Report([Finding("python", "3.11"), *broken, Finding("extra", problem="missing.", needed=False)])))
    assert text.count(remedy) == 1
    assert text.count("BROKEN") == 2
    assert "note: missing." in text
    assert "Something that is needed is broken." in text
