"""Reading files: both forms, and files that are neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from advanced_models.errors import UserError
from advanced_models.workflows.document import read_workflow
from advanced_models.workflows.prompt import Link
from workflow_graphs import DEFINITIONS, page, sampling, written


def test_api_form(tmp_path: Path) -> None:
    document = read_workflow(written(tmp_path, sampling()))
    prompt = document.prompt(DEFINITIONS)
    assert not document.is_page
    assert document.workflow is None
    assert prompt.nodes["4"].inputs["model"] == Link("2", 0)
    assert (prompt.nodes["4"].title, prompt.nodes["2"].title) == ("My sampler", "WfPatch")
    expected = {key: (entry["class_type"], entry["inputs"]) for key, entry in sampling().items()}
    assert {key: (entry["class_type"], entry["inputs"]) for key, entry in prompt.to_api().items()} == expected


def test_page_form(tmp_path: Path) -> None:
    document = read_workflow(written(tmp_path, page({"id": 1, "type": "WfModel", "widgets_values": ["large"]})))
    assert document.is_page
    assert document.workflow == document.data
    assert document.prompt(DEFINITIONS).nodes["1"].inputs == {"name": "large"}


def test_wrapped_lists_are_constants(tmp_path: Path) -> None:
    graph = {"1": {"class_type": "Foreign", "inputs": {"points": {"__value__": [1, 2]}}}}
    prompt = read_workflow(written(tmp_path, graph)).prompt(DEFINITIONS)
    assert prompt.nodes["1"].inputs == {"points": [1, 2]}
    assert prompt.to_api()["1"]["inputs"] == graph["1"]["inputs"]


def test_a_byte_order_mark_and_what_comfyui_adds_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"1": {"class_type": "WfModel", "inputs": {"name": "small"}, "is_changed": [NaN]}}')
    assert read_workflow(path).prompt(DEFINITIONS).nodes["1"].inputs == {"name": "small"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"1": {"class_type": "A",', ["w.json", "not valid JSON", "line 1"]),
        (b"\x89PNG\r\n\x1a\n\xff", ["w.json", "not a text file"]),
        (b"", ["w.json", "not valid JSON"]),
        (b"[1, 2]", ["w.json", "no workflow"]),
        (b'{"a": 1}', ["w.json", "no workflow"]),
        (b"null", ["w.json", "no workflow"]),
        (b"[" * 200_000, ["w.json", "not valid JSON"]),
    ],
)
def test_files_that_are_no_workflow(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_workflow(path)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json cannot be read: No such file"):
        read_workflow(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"1": {"class_type": "A", "inputs": {}}, "1": {"class_type": "B", "inputs": {}}}', ["id 1"]),
        ('{"1": {"class_type": "A", "inputs": {}}, "2": {"inputs": {}}}', ["Node 2", "class_type"]),
        ('{"1": {"class_type": "A", "inputs": {}}, "2": 3}', ["Node 2"]),
        ('{"1": {"class_type": "A", "inputs": [1]}}', ["Node 1"]),
        ('{"1": {"class_type": "A", "inputs": {"x": ["2"]}}}', ["Node 1", '"x"', "is no link"]),
        ('{"1": {"class_type": "A", "inputs": {"x": ["2", true]}}}', ["Node 1", '"x"', "is no link"]),
        ('{"1": {"class_type": "A", "inputs": {"x": ["2", "0"]}}}', ["Node 1", '"x"', "is no link"]),
        ('{"1": {"class_type": "A", "inputs": {"x": [1, 2, 3]}}}', ["Node 1", '"x"', "is no link"]),
    ],
)
def test_damaged_api_form(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "w.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_workflow(path).prompt(DEFINITIONS)
    assert all(word in str(caught.value) for word in ["w.json", *words]), str(caught.value)
