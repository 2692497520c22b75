"""ComfyUI's own nodes, written afresh: pictures in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import advanced_models.host
import numpy as np
import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.workflows.document import Document
from advanced_models.workflows.execute import Executor
from advanced_models.workflows.native import LoadImage, LoadImageMask, PreviewImage, SaveImage
from advanced_models.workflows.pictures import save_target
from PIL import Image
from workflow_graphs import DEFINITIONS, checked, node


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    host = StandaloneHost.below(tmp_path)
    for folder in (host.input_folder, host.output_folder):
        folder.mkdir()
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    return host


def _write(path: Path, levels: Any, mode: str) -> None:
    Image.fromarray(np.asarray(levels, dtype=np.uint8), mode).save(path)


def test_transparency_becomes_one_minus_alpha(host: StandaloneHost) -> None:
    _write(host.input_folder / "a.png", [[[255, 0, 51, 255], [0, 102, 0, 0], [10, 20, 30, 51]]], "RGBA")
    image, mask = LoadImage().load_image("a.png")
    expected = torch.tensor([[[255, 0, 51], [0, 102, 0], [10, 20, 30]]]) / 255
    assert image.shape == (1, 1, 3, 3)
    assert torch.equal(image[0], expected)
    assert torch.equal(mask, 1 - torch.tensor([[[255, 0, 51]]]) / 255)


def test_a_picture_without_transparency_has_the_empty_mask(host: StandaloneHost) -> None:
    _write(host.input_folder / "a.png", [[[255, 0, 51], [0, 102, 0]]], "RGB")
    image, mask = LoadImage().load_image("a.png")
    assert image.shape == (1, 1, 2, 3)
    assert torch.equal(mask, torch.zeros(1, 64, 64))


def test_palette_transparency(host: StandaloneHost) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    picture.save(host.input_folder / "p.png", transparency=0)
    image, mask = LoadImage().load_image("p.png")
    assert torch.equal(mask, torch.tensor([[[1.0, 0.0]]]))
    assert image[0, 0, 1].tolist() == [0.0, 0.0, 1.0]


def test_sixteen_bit_grey(host: StandaloneHost) -> None:
    Image.fromarray(np.array([[0, 13107, 65535]], dtype=np.uint16)).save(host.input_folder / "g.png")
    image, _ = LoadImage().load_image("g.png")
    assert torch.allclose(image[0, 0], torch.tensor([[0.0], [0.2], [1.0]]).expand(3, 3))


def test_frames_of_an_animation_are_a_batch(host: StandaloneHost) -> None:
    frames = [Image.new("RGB", (3, 2), (level, 0, 0)) for level in (0, 255)]
    frames[0].save(host.input_folder / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    image, mask = LoadImage().load_image("a.webp")
    assert image.shape == (2, 2, 3, 3)
    assert image[:, 0, 0, 0].tolist() == [0.0, 1.0]
    assert mask.shape == (2, 64, 64)


def test_the_orientation_a_camera_noted_is_applied(host: StandaloneHost) -> None:
    picture = Image.new("RGB", (4, 2))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(host.input_folder / "c.jpg", exif=exif)
    assert LoadImage().load_image("c.jpg")[0].shape == (1, 4, 2, 3)


@pytest.mark.parametrize(("channel", "expected"), [("red", 51 / 255), ("green", 102 / 255), ("blue", 153 / 255), ("alpha", 1 - 204 / 255)])
def test_one_channel_as_a_mask(host: StandaloneHost, channel: str, expected: float) -> None:
    _write(host.input_folder / "a.png", [[[51, 102, 153, 204]]], "RGBA")
    (mask,) = LoadImageMask().load_image("a.png", channel)
    assert mask.shape == (1, 1, 1)
    assert mask.item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hosts", "gone.png", "", "a\0b.png", "link/secret.png"])
def test_only_files_of_the_input_folder_are_read(host: StandaloneHost, tmp_path: Path, name: str) -> None:
    _write(tmp_path / "secret.png", [[[1, 2, 3]]], "RGB")
    (host.input_folder / "link").symlink_to(tmp_path)
    assert "is not in the input folder" in str(LoadImage.VALIDATE_INPUTS(name))
    with pytest.raises(UserError, match="is not in the input folder"):
        LoadImage().load_image(name)


def test_subfolders_and_the_mask_editors_names(host: StandaloneHost) -> None:
    (host.input_folder / "clipspace").mkdir()
    _write(host.input_folder / "clipspace" / "m.png", [[[1, 2, 3]]], "RGB")
    assert LoadImage.VALIDATE_INPUTS("clipspace/m.png [input]") is True
    assert LoadImage().load_image("clipspace/m.png [input]")[0].shape == (1, 1, 1, 3)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_damaged_pictures(host: StandaloneHost, content: bytes) -> None:
    (host.input_folder / "bad.png").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.png cannot be read as a picture"):
        LoadImage().load_image("bad.png")


def test_a_picture_cut_short(host: StandaloneHost) -> None:
    Image.effect_noise((64, 64), 50).save(host.input_folder / "cut.png")
    whole = (host.input_folder / "cut.png").read_bytes()
    (host.input_folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.png cannot be read as a picture"):
        LoadImage().load_image("cut.png")


def test_levels_are_clipped_and_cut_off(host: StandaloneHost) -> None:
    values = torch.tensor([-1.0, 0.0, 0.5, 0.999, 1.0, 3.0])
    images = values.view(1, 1, 6, 1).expand(1, 1, 6, 3)
    SaveImage().save_images(images, "x")
    saved = np.asarray(Image.open(host.output_folder / "x_00001_.png"))
    assert saved[0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]


def test_numbers_go_on_after_the_largest(host: StandaloneHost) -> None:
    for name in ("x_00003_.png", "x_00010_.webp", "xy_00099_.png", "x_abc_.png", "x.png"):
        (host.output_folder / name).touch()
    saved = SaveImage().save_images(torch.zeros(2, 4, 8, 3), "x")["ui"]["images"]
    assert [entry["filename"] for entry in saved] == ["x_00011_.png", "x_00012_.png"]
    assert {entry["type"] for entry in saved} == {"output"}


def test_placeholders_and_subfolders(host: StandaloneHost) -> None:
    saved = SaveImage().save_images(torch.zeros(2, 4, 8, 3), "a/b/%width%x%height%_%batch_num%")["ui"]["images"]
    assert saved[0] == {"filename": "8x4_0_00001_.png", "subfolder": "a/b", "type": "output"}
    assert saved[1] == {"filename": "8x4_1_00002_.png", "subfolder": "a/b", "type": "output"}
    assert (host.output_folder / "a" / "b" / "8x4_1_00002_.png").is_file()
    stem = save_target(host.output_folder, "%year%-%month%-%day%", 1, 1)[2]
    assert [len(part) for part in stem.split("-")] == [4, 2, 2]


@pytest.mark.parametrize("prefix", ["../x", "/tmp/x", "a/../../x", "..", ".", ""])
def test_nothing_is_written_outside_the_output_folder(host: StandaloneHost, tmp_path: Path, prefix: str) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(UserError, match="file name prefix"):
        SaveImage().save_images(torch.zeros(1, 4, 8, 3), prefix)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def _saved_metadata(host: StandaloneHost, workflow: dict[str, Any] | None = None) -> dict[str, Any]:
    _write(host.input_folder / "a.png", [[[255, 0, 51]]], "RGB")
    graph = {"1": node("LoadImage", image="a.png"), "2": node("SaveImage", images=["1", 0], filename_prefix="m")}
    Executor(DEFINITIONS).run(checked(graph), workflow=workflow)
    with Image.open(host.output_folder / "m_00001_.png") as picture:
        return dict(picture.text)  # type: ignore[attr-defined]


def test_pictures_carry_prompt_and_workflow(host: StandaloneHost) -> None:
    graph = {"nodes": [], "links": [], "extra": {"name": "caf\u00e9"}}
    text = _saved_metadata(host, graph)
    assert json.loads(text["workflow"]) == graph
    prompt = json.loads(text["prompt"])
    assert prompt["2"]["inputs"] == {"images": ["1", 0], "filename_prefix": "m"}
    again = Document("again", prompt, is_page=False).prompt(DEFINITIONS)
    assert again.to_api() == prompt


def test_a_prompt_alone(host: StandaloneHost) -> None:
    assert set(_saved_metadata(host)) == {"prompt"}


def test_metadata_can_be_turned_off(host: StandaloneHost) -> None:
    host.embed_metadata = False
    assert _saved_metadata(host, {"nodes": []}) == {}


def test_a_changed_picture_is_read_again(host: StandaloneHost) -> None:
    graph = {"1": node("LoadImage", image="a.png"), "2": node("SaveImage", images=["1", 0], filename_prefix="m")}
    executor = Executor(DEFINITIONS)
    for level, computed in ((10, 2), (10, 0), (20, 2)):
        _write(host.input_folder / "a.png", [[[level, 0, 0]]], "RGB")
        run = executor.run(checked(graph))
        assert sum(not entry.cached for entry in run.nodes) == computed
    assert np.asarray(Image.open(host.output_folder / "m_00002_.png"))[0, 0, 0] == 20


def test_previews_go_to_the_folder_for_temporary_files(host: StandaloneHost) -> None:
    entry = PreviewImage().preview_images(torch.zeros(1, 4, 8, 3))["ui"]["images"][0]
    assert entry["type"] == "temp"
    assert (host.temp_folder / entry["filename"]).is_file()
    assert list(host.output_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("class_type", "value"),
    [
        ("PrimitiveInt", 2**60),
        ("PrimitiveFloat", 0.1),
        ("PrimitiveString", "a"),
        ("PrimitiveStringMultiline", "a\nb"),
        ("PrimitiveBoolean", True),
    ],
)
def test_constants(class_type: str, value: Any) -> None:
    node_class = DEFINITIONS.classes[class_type]
    assert node_class().execute(value) == (value,)  # type: ignore[attr-defined]
    assert DEFINITIONS[class_type].inputs["value"].type == DEFINITIONS[class_type].outputs[0]
