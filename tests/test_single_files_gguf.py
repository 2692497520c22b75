"""GGUF files, written by the `gguf` package's own writer and quantisers in the layouts of city96's tools."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import diffusers
import gguf
import numpy as np
import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.host.tensors import byte_count
from advanced_models.loaders import sources
from advanced_models.loaders.component import select_component
from advanced_models.loaders.gguf_files import read_gguf
from advanced_models.loaders.store import Store
from devices import on_cpu, on_device
from gguf.quants import dequantize
from gguf_writer import finish, write_gguf
from single_file_layouts import Tensors, Writer, as_it_is, bfl_flux, original_wan, renamed, stored
from single_file_models import Own, same
from test_precision import inputs_of

LLAMA_T5 = (
    (r"^encoder\.final_layer_norm", "enc.output_norm"),
    (r"^encoder\.block\.", "enc.blk."),
    (r"^shared", "token_embd"),
    (r"layer\.0\.SelfAttention\.([qkvo])\.", r"attn_\1."),
    (r"layer\.0\.SelfAttention\.relative_attention_bias", "attn_rel_b"),
    (r"layer\.0\.layer_norm", "attn_norm"),
    (r"layer\.1\.DenseReluDense\.wi_0", "ffn_gate"),
    (r"layer\.1\.DenseReluDense\.wi_1", "ffn_up"),
    (r"layer\.1\.DenseReluDense\.wo", "ffn_down"),
    (r"layer\.1\.layer_norm", "ffn_norm"),
)


def llama_t5(tensors: Tensors) -> Tensors:
    return renamed({name: tensor for name, tensor in tensors.items() if name != "encoder.embed_tokens.weight"}, *LLAMA_T5)


CASES = [
    ("FLUX.1-dev", "transformer", "diffusion_models", bfl_flux, "flux"),
    ("Wan2.1-I2V-14B-480P", "transformer", "diffusion_models", original_wan, "wan"),
    ("Qwen-Image", "transformer", "diffusion_models", as_it_is, "qwen_image"),
    ("FLUX.1-dev", "text_encoder_2", "text_encoders", llama_t5, "t5encoder"),
    ("Wan2.1-T2V-1.3B", "text_encoder", "text_encoders", llama_t5, "t5encoder"),
]


@pytest.mark.parametrize(("model", "role", "kind", "writer", "architecture"), CASES)
@pytest.mark.parametrize("quantisation", ["BF16", "Q8_0", "Q4_0"])
def test_a_gguf_file_holds_what_it_means(
    own: Own, model: str, role: str, kind: str, writer: Writer, architecture: str, quantisation: str
) -> None:
    folder = own(model)
    source = f"{kind}/mine.gguf"
    tensors = writer(stored(folder, role))
    meant = write_gguf(folder.parents[1] / source, tensors, architecture, gguf.GGMLQuantizationType[quantisation])
    with Store().use(select_component(model, role, precision="bf16", source=source), select_component(model, role)) as (ours, theirs):
        if quantisation == "BF16":
            same(ours, theirs)
            return
        assert any(not torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
        read = writer(on_cpu(ours.state_dict()))
        for name, tensor in meant.items():
            # What is quantised is rounded once to what the model computes in; what is stored as float32 is not.
            quantised = not torch.equal(tensor, tensors[name].float())
            expected = tensor.to(torch.bfloat16) if quantised else tensor
            assert torch.equal(read[name].float(), expected.to(read[name].dtype).float()), name


def test_what_is_wrong_with_a_gguf_file_is_said(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own("FLUX.1-dev")
    path = folder.parents[1] / "text_encoders" / "mine.gguf"
    component = select_component("FLUX.1-dev", "text_encoder_2", source="text_encoders/mine.gguf")
    write_gguf(path, llama_t5(stored(folder, "text_encoder_2")), "t5encoder", gguf.GGMLQuantizationType.Q8_0)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gguf", None)
        with pytest.raises(UserError, match=r"need the gguf package.*run `python -m pip install gguf`"), Store().use(component):
            pass
    language = {"token_embd.weight": torch.zeros(32, 32), "blk.0.attn_q.weight": torch.zeros(32, 32)}
    picture = {"v.blk.0.attn_q.weight": torch.zeros(32, 32)}
    for tensors, architecture, said in (
        (language, "llama", "holds a language model in llama.cpp's layout, in which this pack reads T5, UMT5 and Qwen2.5-VL alone"),
        (picture, "clip", "holds the picture half of a language model (mmproj), which is found where the file of the language half"),
    ):
        write_gguf(path.with_name(f"{architecture}.gguf"), tensors, architecture, gguf.GGMLQuantizationType.Q8_0)
        with pytest.raises(UserError, match=re.escape(said)):
            sources.locate(select_component("FLUX.1-dev", "text_encoder_2", source=f"text_encoders/{architecture}.gguf"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(UserError, match=r"mine\.gguf is cut short"), Store().use(component):
        pass
    path.write_bytes(whole[:900])
    with pytest.raises(UserError, match="is not a whole GGUF file"):
        sources.locate(component)


@pytest.mark.parametrize("name", ["Q8_0", "Q4_K", "Q6_K"])
def test_a_large_matrix_is_dequantised_part_by_part(tmp_path: Path, name: str) -> None:
    kind, shape = gguf.GGMLQuantizationType[name], (1030, 768)
    block, row = gguf.GGML_QUANT_SIZES[kind]
    # Below 64, so that every half of two bytes is a number and a small one.
    data = np.random.default_rng(0).integers(0, 64, size=(shape[0], shape[1] // block * row), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "large.gguf", "flux")
    writer.add_tensor("large", data, raw_dtype=kind)
    finish(writer)
    expected = torch.from_numpy(np.array(dequantize(data, kind))).reshape(shape)
    assert torch.equal(read_gguf(tmp_path / "large.gguf", torch.float32)["large"], expected)


TRANSFORMERS = [
    ("FLUX.1-dev", bfl_flux, "flux"),
    ("Wan2.1-T2V-1.3B", original_wan, "wan"),
    ("Qwen-Image", as_it_is, "qwen_image"),
]
FARTHEST = 0.02
"""Relative distance to the result of the same weights dequantised on loading, which round once instead of twice."""


@pytest.mark.parametrize(("model", "writer", "architecture"), TRANSFORMERS)
@pytest.mark.parametrize("quantisation", ["Q8_0", "Q5_1", "Q4_0"])
def test_a_transformer_stays_as_it_is_stored(own: Own, model: str, writer: Writer, architecture: str, quantisation: str) -> None:
    folder = own(model)
    path = folder.parents[1] / "diffusion_models" / "mine.gguf"
    write_gguf(path, writer(stored(folder, "transformer")), architecture, gguf.GGMLQuantizationType[quantisation])
    component = select_component(model, "transformer", source="diffusion_models/mine.gguf")
    assert component.precision == "gguf"
    config = {"quantization_config": diffusers.GGUFQuantizationConfig(compute_dtype=torch.bfloat16), "config": str(folder / "transformer")}
    with Store().use(component, replace(component, precision="bf16")) as (ours, dequantised), torch.inference_mode():
        inputs = on_device(inputs_of(component))
        found, plain = (module(**inputs, return_dict=True)[0].float() for module in (ours, dequantised))
        assert (found - plain).norm() / plain.norm() < FARTHEST
        assert ours.dtype == torch.bfloat16
        assert byte_count(ours) < byte_count(dequantised)
        if model == "Qwen-Image":
            # diffusers' converter of FLUX knows no other width than the real one; in Wan it does not read the shape of five sides.
            theirs = on_device(type(ours).from_single_file(str(path), torch_dtype=torch.bfloat16, **config))
            assert torch.equal(found, theirs(**inputs, return_dict=True)[0].float())
