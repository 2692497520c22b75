"""Components in one file: the same weights as the folder's, whichever way they are stored."""

from __future__ import annotations

import shutil

import pytest
import torch
from advanced_models.loaders import sources
from advanced_models.loaders.component import select_component
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.single_files import file_sources
from advanced_models.loaders.store import Store
from devices import on_cpu
from safetensors.torch import save_file
from single_file_layouts import Tensors, Writer, as_it_is, bfl_flux, original_wan, renamed, stored, with_prefix
from single_file_models import Own, chosen, same


@pytest.mark.parametrize(
    ("model", "role", "kind", "writer"),
    [
        ("FLUX.1-dev", "transformer", "diffusion_models", bfl_flux),
        ("FLUX.1-dev", "transformer", "diffusion_models", as_it_is),
        ("FLUX.1-schnell", "transformer", "diffusion_models", lambda tensors: with_prefix(bfl_flux(tensors))),
        ("Wan2.1-T2V-1.3B", "transformer", "diffusion_models", original_wan),
        ("Wan2.1-T2V-1.3B", "transformer", "diffusion_models", as_it_is),
        ("Wan2.1-I2V-14B-480P", "transformer", "diffusion_models", lambda tensors: with_prefix(original_wan(tensors))),
        ("Wan2.1-FLF2V-14B-720P", "transformer", "diffusion_models", original_wan),
        ("Wan2.2-T2V-A14B", "transformer", "diffusion_models", original_wan),
        ("Wan2.2-T2V-A14B", "transformer_2", "diffusion_models", original_wan),
        ("Wan2.2-I2V-A14B", "transformer_2", "diffusion_models", original_wan),
        ("Wan2.2-TI2V-5B", "transformer", "diffusion_models", lambda tensors: with_prefix(original_wan(tensors))),
        ("Qwen-Image", "transformer", "diffusion_models", as_it_is),
        ("Qwen-Image", "transformer", "diffusion_models", with_prefix),
        ("Qwen-Image-Layered", "transformer", "diffusion_models", as_it_is),
        ("FLUX.1-dev", "text_encoder", "text_encoders", as_it_is),
        ("FLUX.1-dev", "text_encoder_2", "text_encoders", as_it_is),
        ("Wan2.1-T2V-1.3B", "text_encoder", "text_encoders", as_it_is),
    ],
)
def test_a_file_holds_what_the_folder_holds(own: Own, model: str, role: str, kind: str, writer: Writer) -> None:
    folder = own(model)
    save_file(writer(stored(folder, role)), folder.parents[1] / kind / "mine.safetensors")
    assert file_sources(load_registry().model(model).architecture) == [f"{kind}/mine.safetensors"]
    with Store().use(chosen(model, role, kind), select_component(model, role)) as (ours, theirs):
        assert ours is not theirs
        same(ours, theirs)


def scaled(tensors: Tensors, weights: list[str], spelling: str) -> Tensors:
    """ComfyUI's fp8 with a scale."""
    scaled: Tensors = dict(tensors)
    for weight in weights:
        scale = tensors[weight].float().abs().max() / 448
        scaled[weight] = (tensors[weight].float() / scale).to(torch.float8_e4m3fn)
        scaled[weight.removesuffix("weight") + spelling] = scale
    return scaled


@pytest.mark.parametrize("spelling", ["scale_weight", "weight_scale"])
@pytest.mark.parametrize(
    ("model", "role", "kind", "writer", "weight"),
    [
        ("FLUX.1-dev", "text_encoder_2", "text_encoders", as_it_is, "encoder.block.0.layer.0.SelfAttention.q.weight"),
        ("Wan2.1-T2V-1.3B", "transformer", "diffusion_models", original_wan, "blocks.0.self_attn.q.weight"),
        ("Qwen-Image", "transformer", "diffusion_models", as_it_is, "transformer_blocks.0.attn.to_q.weight"),
    ],
)
def test_scaled_fp8_is_multiplied_by_its_scale(
    own: Own, model: str, role: str, kind: str, writer: Writer, weight: str, spelling: str
) -> None:
    folder = own(model)
    tensors = scaled(writer(stored(folder, role)), [weight], spelling)
    prefix = "model.diffusion_model." if kind == "diffusion_models" else ""
    marks = (
        {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
        if spelling == "scale_weight"
        else {"blocks.0.comfy_quant": torch.zeros(2)}
    )
    save_file({prefix + name: tensor for name, tensor in (tensors | marks).items()}, folder.parents[1] / kind / "mine.safetensors")
    expected = tensors[weight].float() * tensors[weight.removesuffix("weight") + spelling]
    with Store().use(chosen(model, role, kind), select_component(model, role)) as (ours, theirs):
        name = weight.replace("self_attn.q", "attn1.to_q")
        assert torch.equal(on_cpu(ours.get_parameter(name)), expected.to(torch.bfloat16))
        assert not torch.equal(ours.get_parameter(name), theirs.get_parameter(name))
        others = {key: value for key, value in theirs.state_dict().items() if key != name}
        assert all(torch.equal(ours.state_dict()[key], value) for key, value in others.items())


def test_scaled_fp8_of_joined_projections(own: Own) -> None:
    folder = own("FLUX.1-dev")
    tensors = scaled(bfl_flux(stored(folder, "transformer")), ["double_blocks.0.img_attn.qkv.weight"], "scale_weight")
    save_file(tensors, folder.parents[1] / "diffusion_models" / "mine.safetensors")
    whole = tensors["double_blocks.0.img_attn.qkv.weight"].float() * tensors["double_blocks.0.img_attn.qkv.scale_weight"]
    with Store().use(chosen("FLUX.1-dev", "transformer", "diffusion_models")) as (ours,):
        read = torch.cat([ours.get_parameter(f"transformer_blocks.0.attn.to_{part}.weight") for part in "qkv"])
        assert torch.equal(on_cpu(read), whole.to(torch.bfloat16))


def test_plain_fp8_is_cast(own: Own) -> None:
    folder = own("Wan2.1-T2V-1.3B")
    tensors = {
        name: tensor.to(torch.float8_e4m3fn) if tensor.ndim == 2 and "blocks." in name else tensor
        for name, tensor in original_wan(stored(folder, "transformer")).items()
    }
    save_file(tensors, folder.parents[1] / "diffusion_models" / "mine.safetensors")
    with Store().use(chosen("Wan2.1-T2V-1.3B", "transformer", "diffusion_models")) as (ours,):
        eight = tensors["blocks.1.ffn.0.weight"]
        assert eight.dtype == torch.float8_e4m3fn
        assert torch.equal(on_cpu(ours.get_parameter("blocks.1.ffn.net.0.proj.weight")), eight.to(torch.bfloat16))


def test_the_rest_is_found_as_by_auto(own: Own) -> None:
    folder = own("FLUX.1-dev")
    save_file(stored(folder, "text_encoder_2"), folder.parents[1] / "text_encoders" / "mine.safetensors")
    encoder = chosen("FLUX.1-dev", "text_encoder_2", "text_encoders")
    assert sources.locate(encoder).file is not None
    assert sources.locate(encoder.sibling("vae")) == sources.locate(select_component("FLUX.1-dev", "vae"))
    assert sources.locate(encoder.tokenizer()).file is None


@pytest.mark.parametrize("source", ["text_encoders/mine.safetensors", "auto"])
def test_umt5_brings_its_tokenizer(own: Own, source: str) -> None:
    folder = own("Wan2.1-T2V-1.3B")
    spiece = torch.frombuffer(bytearray((folder / "tokenizer" / "spiece.model").read_bytes()), dtype=torch.uint8)
    tensors = stored(folder, "text_encoder") | {"spiece_model": spiece}
    save_file(tensors, folder.parents[1] / "text_encoders" / "mine.safetensors")
    theirs = Store().companion(select_component("Wan2.1-T2V-1.3B", "tokenizer"))
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / part)
    encoder = select_component("Wan2.1-T2V-1.3B", "text_encoder", source=source)
    assert sources.locate(encoder.tokenizer()).label == "models/text_encoders/mine.safetensors"
    ours = Store().companion(encoder.tokenizer())
    prompts = ["a red circle on a blue background", "", "two squares,  one green"]
    options = {"padding": "max_length", "max_length": 32, "truncation": True, "return_attention_mask": True}
    assert dict(ours(prompts, **options)) == dict(theirs(prompts, **options))
    with Store().use(encoder) as (module,):
        assert torch.equal(on_cpu(module.state_dict()["shared.weight"]), tensors["shared.weight"])


def flat_qwen_vl(tensors: Tensors) -> Tensors:
    """As transformers 4 saved it, which is what ComfyUI's files have."""
    return renamed(tensors, (r"^model\.language_model\.", "model."), (r"^model\.visual\.", "visual."))


@pytest.mark.parametrize("writer", [as_it_is, flat_qwen_vl])
def test_qwen_vl_in_one_file(own: Own, writer: Writer) -> None:
    folder = own("Qwen-Image")
    save_file(writer(stored(folder, "text_encoder")), folder.parents[1] / "text_encoders" / "mine.safetensors")
    with Store().use(chosen("Qwen-Image", "text_encoder", "text_encoders"), select_component("Qwen-Image", "text_encoder")) as (
        ours,
        theirs,
    ):
        assert ours is not theirs
        same(ours, theirs)


def test_clip_vision_in_one_file(own: Own) -> None:
    folder = own("Wan2.1-I2V-14B-480P")
    tensors = stored(folder, "image_encoder") | {"visual_projection.weight": torch.zeros(3, 3)}
    save_file(tensors, folder.parents[1] / "clip_vision" / "mine.safetensors")
    one, other = chosen("Wan2.1-I2V-14B-480P", "image_encoder", "clip_vision"), select_component("Wan2.1-I2V-14B-480P", "image_encoder")
    with Store().use(one, other) as (ours, theirs):
        assert ours is not theirs
        same(ours, theirs)
