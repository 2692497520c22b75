"""Qwen2.5-VL in llama.cpp's two files, written with the names that the `gguf` package maps those of transformers to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from advanced_models.demo.build import build
from advanced_models.errors import UserError
from advanced_models.loaders import sources
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.fingerprints import content_fingerprint
from advanced_models.loaders.single_files import components_in, file_sources
from advanced_models.loaders.store import STORE, Store
from advanced_models.nodes.qwen_vl import QwenVLChat, QwenVLLoader
from advanced_models.pipelines.qwen_image_prompt import encode_prompt
from devices import on_cpu
from gguf_writer import write_gguf
from qwen_models import CHAT_MODEL, picture, small_pictures
from safetensors.torch import save_file
from single_file_layouts import Tensors, stored
from single_file_models import Own, same
from test_single_files import flat_qwen_vl
from test_single_files_identity import full_size
from test_single_files_results import no_cache, qwen_image

__all__ = ["no_cache", "small_pictures"]

SOURCE = "text_encoders/words.gguf"
CONTEXT = 128000
"""Tokens that the published config of Qwen2.5-VL names."""


def language_half(tensors: Tensors) -> Tensors:
    """As `Qwen2VLModel` of llama.cpp's converter writes it: what belongs to pictures is left out."""
    words = {name: tensor for name, tensor in flat_qwen_vl(tensors).items() if not name.startswith("visual.")}
    return _named(words, gguf.MODEL_ARCH.QWEN2VL)


def picture_half(tensors: Tensors) -> Tensors:
    """As `Qwen2VLVisionModel` writes it: query, key and value apart, and a convolution for each of two frames."""
    own, first = {}, "visual.patch_embed.proj.weight"
    for name, tensor in flat_qwen_vl(tensors).items():
        if ".qkv." in name:
            own |= {name.replace("qkv", part): rows.clone() for part, rows in zip("qkv", tensor.chunk(3), strict=True)}
        elif name.startswith("visual."):
            own[name] = tensor
    patches = own.pop(first)
    own[first] = patches[:, :, 0].clone()
    return _named(own, gguf.MODEL_ARCH.MMPROJ) | {"v.patch_embd.weight.1": patches[:, :, 1].clone()}


def _named(tensors: Tensors, architecture: gguf.MODEL_ARCH) -> Tensors:
    names = gguf.get_tensor_name_map(architecture, 80)
    return {names.get_name(name, try_suffixes=(".weight", ".bias")) or f"unnamed {name}": tensor for name, tensor in tensors.items()}


def write_language(folder: Path, kind: str = "F32", context: int = CONTEXT, source: str = SOURCE) -> Tensors:
    tensors = language_half(stored(folder, "text_encoder"))
    return write_gguf(folder.parents[1] / source, tensors, "qwen2vl", gguf.GGMLQuantizationType[kind], context)


def write_pictures(folder: Path, kind: str = "F32", name: str = "eyes.gguf", width: int | None = None) -> Tensors:
    """For a language model of another width the last matrix and its bias lose rows."""
    tensors = picture_half(stored(folder, "text_encoder"))
    tensors |= {name: tensors[name][:width].clone() for name in ("mm.2.weight", "mm.2.bias")}
    return write_gguf(folder.parents[1] / "text_encoders" / name, tensors, "clip", gguf.GGMLQuantizationType[kind])


def encoder(model: str = "Qwen-Image", source: str = SOURCE, **options: Any) -> Component:
    return select_component(model, "text_encoder", source=source, **options)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
def test_both_files_hold_what_they_mean(own: Own, kind: str) -> None:
    folder = own("Qwen-Image")
    halves = ((language_half, write_language(folder, kind)), (picture_half, write_pictures(folder, "F16" if kind == "F16" else "F32")))
    assert file_sources("qwen_image") == [SOURCE]
    with Store().use(encoder(), select_component("Qwen-Image", "text_encoder")) as (ours, theirs):
        assert ours is not theirs
        if kind in ("F32", "BF16"):
            same(ours, theirs)
        for apart, meant in halves:
            read = apart(on_cpu(ours.state_dict()))
            assert read.keys() == meant.keys()
            for name, tensor in meant.items():
                assert torch.equal(read[name], tensor.to(torch.bfloat16)), name


def test_pictures_are_painted_without_the_second_file(own: Own) -> None:
    folder = own("Qwen-Image")
    expected = qwen_image()
    write_language(folder)
    shutil.move(folder / "text_encoder", folder / "aside")
    STORE.clear()
    assert torch.equal(qwen_image(), expected)
    assert torch.equal(qwen_image(SOURCE), expected)
    with STORE.use(encoder()) as (module,):
        assert module.model.visual is None
        assert not any("visual" in name for name in module.state_dict())
    alone = content_fingerprint(sources.locate(encoder()))
    shutil.move(folder / "aside", folder / "text_encoder")
    write_pictures(folder)
    assert content_fingerprint(sources.locate(encoder())) != alone
    with STORE.use(encoder()) as (module,):
        assert module.model.visual is not None


@pytest.mark.parametrize("precision", ["fp8", "int8", "nf4"])
def test_a_half_can_be_quantised(own: Own, precision: str) -> None:
    folder = own("Qwen-Image")
    expected = encode_prompt(encoder(source="auto", precision=precision), ["a red circle"]).embeds
    write_language(folder)
    assert torch.equal(encode_prompt(encoder(precision=precision), ["a red circle"]).embeds, expected)


@pytest.mark.usefixtures("small_pictures")
def test_a_picture_is_read_as_from_the_folder(own: Own) -> None:
    folder = own("Qwen-Image-Edit")
    given = [picture()]
    expected = encode_prompt(select_component("Qwen-Image-Edit", "text_encoder"), ["make it red"], given).embeds
    write_language(folder)
    loads = STORE.loads
    with pytest.raises(UserError, match=r"words\.gguf is the language half of Qwen2\.5-VL, and no file here.*put the mmproj file"):
        encode_prompt(encoder("Qwen-Image-Edit"), ["make it red"], given)
    write_pictures(folder, name="other.gguf", width=16)
    with pytest.raises(UserError, match=r"same folder\. other\.gguf beside it belongs to another model\."):
        encode_prompt(encoder("Qwen-Image-Edit"), ["make it red"], given)
    assert STORE.loads == loads
    # Somewhere among the text encoders, then beside the language half, which counts more.
    (folder.parents[1] / "text_encoders" / "elsewhere").mkdir()
    write_pictures(folder, name="elsewhere/far.gguf")
    place = sources.locate(encoder("Qwen-Image-Edit"))
    assert place.picture_half is not None
    assert place.picture_half.name == "far.gguf"
    write_pictures(folder)
    place = sources.locate(encoder("Qwen-Image-Edit"))
    assert place.picture_half is not None
    assert place.picture_half.name == "eyes.gguf"
    assert torch.equal(encode_prompt(encoder("Qwen-Image-Edit"), ["make it red"], given).embeds, expected)
    write_pictures(folder, "F16", "eyes 16.gguf")
    with pytest.raises(UserError, match=r"reads pictures through a second file, and eyes 16\.gguf and eyes\.gguf fit it alike: keep one"):
        encode_prompt(encoder("Qwen-Image-Edit"), ["make it red"], given)


def test_the_chat_model_answers_as_from_its_folder(own: Own) -> None:
    folder = own("Qwen-Image")
    build(CHAT_MODEL, folder.parent / CHAT_MODEL)
    write_language(folder)
    write_pictures(folder)

    def answer(source: str) -> list[str]:
        parts = dict(zip(QwenVLLoader.RETURN_NAMES, QwenVLLoader().select(CHAT_MODEL, "fp32", source=source), strict=True))
        settings = {"preset": "own question", "prompt": "What is this?", "temperature": 0.0, "max_new_tokens": 24}
        with torch.inference_mode():
            written: list[str] = QwenVLChat().chat(**parts, **settings, images=picture())["result"][0]
        return written

    assert answer(SOURCE) == answer("auto")
    assert len(answer(SOURCE)[0]) > 10


def test_auto_takes_a_whole_file_before_a_half(own: Own) -> None:
    folder = own("Qwen-Image")
    write_language(folder)
    save_file(stored(folder, "text_encoder"), folder.parents[1] / "text_encoders" / "whole.safetensors")
    shutil.rmtree(folder / "text_encoder")
    place = sources.locate(encoder(source="auto"))
    assert place.file is not None
    assert place.file.name == "whole.safetensors"


def test_auto_takes_no_half_for_a_model_that_reads_pictures(own: Own) -> None:
    folder = own("Qwen-Image-Edit")
    write_language(folder)
    shutil.move(folder / "text_encoder", folder / "aside")
    said = r"words\.gguf is the language half of Qwen2\.5-VL.*put the mmproj file"
    with pytest.raises(sources.MissingFilesError, match=said):
        sources.locate(encoder("Qwen-Image-Edit", "auto"))
    with pytest.raises(
        sources.MissingFilesError, match=rf"{said}.*run `advanced-models download Qwen-Image-Edit --component text_encoder`"
    ):
        sources.check_lookalikes(encoder("Qwen-Image-Edit", "auto"))
    assert sources.locate(encoder("Qwen-Image", "auto")).label == f"models/{SOURCE}"
    shutil.move(folder / "aside", folder / "text_encoder")
    write_pictures(folder)
    shutil.rmtree(folder / "text_encoder")
    assert sources.locate(encoder("Qwen-Image-Edit", "auto")).label == f"models/{SOURCE}"


def test_halves_of_other_models_are_told(own: Own) -> None:
    folder = own("Qwen-Image")
    # Qwen2-VL: the same tensors, made to read 32768 tokens.
    write_language(folder, context=32768)
    assert file_sources() == []
    with pytest.raises(UserError, match=r"longest context: 32768\); Qwen-Image needs qwen2\.5-vl-7b \(longest context: 128000\)"):
        sources.locate(encoder())
    # Its picture half has no gates.
    write_language(folder)
    tensors = {name: tensor for name, tensor in picture_half(stored(folder, "text_encoder")).items() if "ffn_gate" not in name}
    write_gguf(folder.parents[1] / "text_encoders" / "eyes.gguf", tensors, "clip", gguf.GGMLQuantizationType.F16)
    assert sources.locate(encoder()).picture_half is None
    # Qwen2.5 alone, which never saw a picture.
    language = language_half(stored(folder, "text_encoder"))
    write_gguf(folder.parents[1] / "text_encoders" / "qwen.gguf", language, "qwen2", gguf.GGMLQuantizationType.F16, CONTEXT)
    with pytest.raises(UserError, match=r"in which this pack reads T5, UMT5 and Qwen2\.5-VL alone"):
        sources.locate(encoder(source="text_encoders/qwen.gguf"))


@pytest.mark.parametrize("component", ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen2.5-vl-32b", "qwen2.5-vl-72b"])
def test_the_real_models_are_told_by_their_headers(tmp_path: Path, component: str) -> None:
    path = tmp_path / "renamed.gguf"
    tensors = language_half(full_size(component))
    writer = gguf.GGUFWriter(path, "qwen2vl")
    writer.add_context_length(CONTEXT)
    for name, tensor in tensors.items():
        writer.add_tensor_info(name, tensor.shape, np.dtype(np.float16), 2 * tensor.numel())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        # Holes for numbers.
        file.truncate(path.stat().st_size + sum(2 * tensor.numel() + 32 for tensor in tensors.values()))
    assert components_in(path) == (component,)
