"""`advanced-models run`: what it prints, what it writes, how it exits."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import advanced_models.host
import pytest
from advanced_models.cli import main
from advanced_models.cli.run import add_arguments, run_with
from advanced_models.errors import UserError
from advanced_models.workflows.native import NATIVE_NODES
from PIL import Image
from workflow_graphs import node, page, sampling, written
from workflow_nodes import NODE_CLASS_MAPPINGS


class _Fails:
    """Fails the way its input says."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"how": (["refusal", "bug", "stop"],)}}

    def run(self, how: str) -> None:
        if how == "stop":
            os.kill(os.getpid(), signal.SIGINT)
            advanced_models.host.current().raise_if_interrupted()
        raise (UserError("Use a smaller picture.") if how == "refusal" else ZeroDivisionError("division by zero"))


CLASSES = {**NATIVE_NODES, **NODE_CLASS_MAPPINGS, "Fails": _Fails}


@pytest.fixture(autouse=True)
def _own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advanced_models.host, "_standalone", None)


def _run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run_with(parser.parse_args([str(word) for word in words]), CLASSES)


def _picture_graph() -> dict[str, Any]:
    return {
        "1": node("LoadImage", image="in.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="sub/kept"),
        "3": node("PreviewImage", images=["1", 0]),
    }


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a workflow and the picture it loads."""
    Image.new("RGB", (8, 4), (255, 0, 51)).save(tmp_path / "in.png")
    written(tmp_path, _picture_graph())
    return tmp_path


def test_files_and_the_json_report(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pictures / "out"
    assert _run(pictures / "workflow.json", "--out", out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["outputs"]["2"] == {"class_type": "SaveImage", "files": ["sub/kept_00001_.png"]}
    assert [(entry["id"], entry["cached"]) for entry in report["nodes"]] == [("1", False), ("2", False), ("3", False)]
    assert 0 <= sum(entry["seconds"] for entry in report["nodes"]) <= report["seconds"] + 0.001
    assert Image.open(out / "sub" / "kept_00001_.png").getpixel((0, 0)) == (255, 0, 51)
    (preview,) = report["outputs"]["3"]["files"]
    assert preview.startswith("temp/")
    assert (out / preview).is_file()


def test_the_plain_report_names_nodes_and_files(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pictures / "out"
    assert _run(pictures / "workflow.json", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "LoadImage" in printed
    assert str(out / "sub" / "kept_00001_.png") in printed


def test_other_things_that_nodes_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, sampling())
    assert _run(path, "--out", tmp_path / "o", "--json", "--set", "4.seed=9", "--set", "WfEncode.text=a dog") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["outputs"]["5"]["text"] == ["out: model small x0.5 9 4 1.5 <a dog by clip small x0.5> slow None False"]
    assert report["outputs"]["5"]["files"] == []


def test_the_page_form_and_the_graph_it_leaves_in_pictures(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = {"name": "IMAGE", "type": "IMAGE"}
    graph = page(
        {"id": 1, "type": "LoadImage", "outputs": [image, {"name": "MASK", "type": "MASK"}], "widgets_values": ["in.png", "image"]},
        {"id": 2, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "widgets_values": ["first"]},
        links=((1, 1, 0, 2, 0, "IMAGE"),),
    )
    path = written(pictures, graph, "page.json")
    assert _run(path, "--out", pictures / "out", "--set", "2.filename_prefix=second") == 0
    with Image.open(pictures / "out" / "second_00001_.png") as picture:
        kept = json.loads(picture.text["workflow"])  # type: ignore[attr-defined]
        prompt = json.loads(picture.text["prompt"])  # type: ignore[attr-defined]
    assert prompt["2"]["inputs"] == {"filename_prefix": "second", "images": ["1", 0]}
    # The graph says what was run, not what the file said.
    assert kept["nodes"][1]["widgets_values"] == ["second"]
    assert kept["nodes"][0] == graph["nodes"][0]
    assert json.loads(path.read_text(encoding="utf-8")) == graph


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comfyui, other, flows = tmp_path / "ComfyUI", tmp_path / "other", tmp_path / "flows"
    for folder in (comfyui / "models", comfyui / "input", other, flows):
        folder.mkdir(parents=True)
    Image.new("RGB", (1, 1)).save(comfyui / "input" / "in.png")
    path = written(flows, _picture_graph())
    assert _run(path, "--out", tmp_path / "out", "--comfyui", comfyui, "--models", other) == 0
    host = advanced_models.host.current()
    assert host.models == (other, comfyui / "models")  # type: ignore[attr-defined]
    assert host.user_folder == comfyui / "user" / "advanced_models"
    assert host.output_folder == tmp_path / "out"
    Image.new("RGB", (1, 1)).save(other / "in.png")
    assert _run(path, "--out", tmp_path / "out", "--input", other) == 0
    assert advanced_models.host.current().models == (Path.cwd() / "models",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "gone"], '--models: there is no folder "gone"'),
        (["--input", "gone"], '--input: there is no folder "gone"'),
        (["--comfyui", "."], '--comfyui: the folder has no "models" folder'),
        (["--set", "nothing"], "NODE.INPUT=VALUE"),
    ],
)
def test_wrong_words(pictures: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    monkeypatch.chdir(pictures)
    with pytest.raises(UserError) as caught:
        _run("workflow.json", "--out", "out", *words)
    assert message in str(caught.value)


def test_a_file_in_place_of_the_output_folder(pictures: Path) -> None:
    with pytest.raises(UserError, match=r"--out: .* cannot be used as a folder"):
        _run(pictures / "workflow.json", "--out", pictures / "in.png")


def test_a_node_that_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    assert _run(written(tmp_path, {"7": node("Fails", how="refusal")}), "--out", tmp_path) == 1
    assert capsys.readouterr().err == "Node 7 (Fails) failed: Use a smaller picture.\n"
    assert caplog.text == ""


def test_a_node_with_a_bug(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    assert _run(written(tmp_path, {"7": node("Fails", how="bug")}), "--out", tmp_path) == 1
    assert capsys.readouterr().err == "Node 7 (Fails) failed: ZeroDivisionError: division by zero\n"
    assert "Traceback" in caplog.text
    assert "in run" in caplog.text


def test_ctrl_c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert _run(written(tmp_path, {"7": node("Fails", how="stop")}), "--out", tmp_path) == 130
    assert capsys.readouterr().err.startswith("Stopped")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ('{"1": {"class_type": "KSampler", "inputs": {}}}', 'Node 1: the node type "KSampler" is not known here'),
        ('{"2": {"class_type": "SaveImage", "inputs": {"images": ["9", 0]}}}', "linked to node 9, which the workflow does not have"),
        ('{"1": {"class_type": "PrimitiveInt", "inputs": {"value": 1}}}', "no output node"),
    ],
)
def test_bad_input_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(content, encoding="utf-8")
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_workflow_is_refused_without_loading_torch(tmp_path: Path) -> None:
    path = written(tmp_path, {"1": node("KSampler")})
    code = (
        "import sys; from advanced_models.cli import main; "
        f"code = main(['run', {str(path)!r}, '--out', {str(tmp_path / 'o')!r}]); "
        "print(code, [name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
