"""Small models as single files: the names that authors and ComfyUI give tensors, from those of diffusers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

Tensors = dict[str, torch.Tensor]


def stored(model: Path, role: str) -> Tensors:
    """The weights in a model's folder."""
    return {name: tensor for path in sorted((model / role).glob("*.safetensors")) for name, tensor in load_file(path).items()}


def renamed(tensors: Tensors, *rules: tuple[str, str]) -> Tensors:
    def rename(name: str) -> str:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        return name

    return {rename(name): tensor.clone() for name, tensor in tensors.items()}


def bfl_flux(tensors: Tensors) -> Tensors:
    """As Black Forest Labs stores FLUX.1 (flux/model.py): query, key and value joined, shift before scale."""
    tensors = dict(tensors)
    for side in ("weight", "bias"):
        scale, shift = tensors[f"norm_out.linear.{side}"].chunk(2)
        tensors[f"norm_out.linear.{side}"] = torch.cat([shift, scale])
        for stem in {name.partition(".attn.")[0] for name in tensors if ".attn." in name}:
            parts = ["attn.to_q", "attn.to_k", "attn.to_v"]
            if stem.startswith("single"):
                tensors[f"{stem}.linear1.{side}"] = torch.cat([tensors.pop(f"{stem}.{part}.{side}") for part in [*parts, "proj_mlp"]])
                continue
            tensors[f"{stem}.img_attn.qkv.{side}"] = torch.cat([tensors.pop(f"{stem}.{part}.{side}") for part in parts])
            parts = ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"]
            tensors[f"{stem}.txt_attn.qkv.{side}"] = torch.cat([tensors.pop(f"{stem}.{part}.{side}") for part in parts])
    return renamed(
        tensors,
        (r"^single_transformer_blocks\.(\d+)\.norm\.linear", r"single_blocks.\1.modulation.lin"),
        (r"^single_transformer_blocks\.(\d+)\.proj_out", r"single_blocks.\1.linear2"),
        (r"^single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight", r"single_blocks.\1.norm.query_norm.scale"),
        (r"^single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight", r"single_blocks.\1.norm.key_norm.scale"),
        (r"^single_transformer_blocks", "single_blocks"),
        (r"^transformer_blocks", "double_blocks"),
        (r"norm1\.linear", "img_mod.lin"),
        (r"norm1_context\.linear", "txt_mod.lin"),
        (r"attn\.to_out\.0", "img_attn.proj"),
        (r"attn\.to_add_out", "txt_attn.proj"),
        (r"attn\.norm_q\.weight", "img_attn.norm.query_norm.scale"),
        (r"attn\.norm_k\.weight", "img_attn.norm.key_norm.scale"),
        (r"attn\.norm_added_q\.weight", "txt_attn.norm.query_norm.scale"),
        (r"attn\.norm_added_k\.weight", "txt_attn.norm.key_norm.scale"),
        (r"ff\.net\.0\.proj", "img_mlp.0"),
        (r"ff\.net\.2", "img_mlp.2"),
        (r"ff_context\.net\.0\.proj", "txt_mlp.0"),
        (r"ff_context\.net\.2", "txt_mlp.2"),
        (r"^time_text_embed\.timestep_embedder\.linear_1", "time_in.in_layer"),
        (r"^time_text_embed\.timestep_embedder\.linear_2", "time_in.out_layer"),
        (r"^time_text_embed\.text_embedder\.linear_1", "vector_in.in_layer"),
        (r"^time_text_embed\.text_embedder\.linear_2", "vector_in.out_layer"),
        (r"^time_text_embed\.guidance_embedder\.linear_1", "guidance_in.in_layer"),
        (r"^time_text_embed\.guidance_embedder\.linear_2", "guidance_in.out_layer"),
        (r"^context_embedder", "txt_in"),
        (r"^x_embedder", "img_in"),
        (r"^proj_out", "final_layer.linear"),
        (r"^norm_out\.linear", "final_layer.adaLN_modulation.1"),
    )


def original_wan(tensors: Tensors) -> Tensors:
    """As Wan-AI stores its transformers (wan/modules/model.py), which ComfyUI keeps."""
    return renamed(
        tensors,
        (r"^scale_shift_table", "head.modulation"),
        (r"^proj_out", "head.head"),
        (r"scale_shift_table", "modulation"),
        (r"condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
        (r"condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
        (r"condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
        (r"condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
        (r"condition_embedder\.time_proj", "time_projection.1"),
        (r"condition_embedder\.image_embedder\.norm1", "img_emb.proj.0"),
        (r"condition_embedder\.image_embedder\.ff\.net\.0\.proj", "img_emb.proj.1"),
        (r"condition_embedder\.image_embedder\.ff\.net\.2", "img_emb.proj.3"),
        (r"condition_embedder\.image_embedder\.norm2", "img_emb.proj.4"),
        (r"condition_embedder\.image_embedder\.pos_embed", "img_emb.emb_pos"),
        (r"\.norm2\.", ".norm3."),
        (r"attn1\.", "self_attn."),
        (r"attn2\.", "cross_attn."),
        (r"to_out\.0\.", "o."),
        (r"to_([qkv])\.", r"\1."),
        (r"add_([kv])_proj\.", r"\1_img."),
        (r"norm_added_k\.", "norm_k_img."),
        (r"ffn\.net\.0\.proj", "ffn.0"),
        (r"ffn\.net\.2", "ffn.2"),
    )


def with_prefix(tensors: Tensors) -> Tensors:
    return {f"model.diffusion_model.{name}": tensor for name, tensor in tensors.items()}


def as_it_is(tensors: Tensors) -> Tensors:
    return dict(tensors)


Writer = Callable[[Tensors], Tensors]


def original_wan_vae(tensors: Tensors) -> Tensors:
    """As Wan-AI stores the VAE of 2.1 (wan/modules/vae.py), and ComfyUI that of Qwen-Image: all stages of one side in one row."""

    def stage(match: re.Match[str]) -> str:
        block, part, number = int(match[1]), match[2], int(match[3])
        return f"decoder.upsamples.{4 * block + (3 if part == 'upsamplers' else number)}."

    return renamed(
        {re.sub(r"^decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.", stage, name): tensor for name, tensor in tensors.items()},
        (r"^encoder\.down_blocks\.", "encoder.downsamples."),
        *_WAN_VAE,
    )


def original_wan_22_vae(tensors: Tensors) -> Tensors:
    """As Wan-AI stores the VAE of 2.2 (wan/modules/vae2_2.py): stages of their own, the change of size last in each."""
    return renamed(
        tensors,
        (r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.downsamples.\1.downsamples."),
        (r"^encoder\.down_blocks\.(\d+)\.downsampler\.", r"encoder.downsamples.\1.downsamples.2."),
        (r"^decoder\.up_blocks\.(\d+)\.resnets\.", r"decoder.upsamples.\1.upsamples."),
        (r"^decoder\.up_blocks\.(\d+)\.upsampler\.", r"decoder.upsamples.\1.upsamples.3."),
        *_WAN_VAE,
    )


_WAN_VAE = (
    (r"mid_block\.resnets\.0", "middle.0"),
    (r"mid_block\.attentions\.0", "middle.1"),
    (r"mid_block\.resnets\.1", "middle.2"),
    (r"\.norm1\.", ".residual.0."),
    (r"\.conv1\.", ".residual.2."),
    (r"\.norm2\.", ".residual.3."),
    (r"\.conv2\.", ".residual.6."),
    (r"conv_shortcut", "shortcut"),
    (r"norm_out", "head.0"),
    (r"conv_out", "head.2"),
    (r"conv_in", "conv1"),
    (r"^quant_conv", "conv1"),
    (r"^post_quant_conv", "conv2"),
)


def ldm_vae(tensors: Tensors) -> Tensors:
    """As `ae.safetensors` (flux/modules/autoencoder.py): the decoder's stages counted from its end, attention as convolutions."""
    stages = len({name.split(".")[2] for name in tensors if name.startswith("decoder.up_blocks.")})
    attention = {"to_q": "q", "to_k": "k", "to_v": "v", r"to_out\.0": "proj_out", "group_norm": "norm"}
    written = renamed(
        {
            re.sub(r"^decoder\.up_blocks\.(\d+)", lambda match: f"decoder.up.{stages - 1 - int(match[1])}", name): tensor
            for name, tensor in tensors.items()
        },
        (r"down_blocks\.(\d+)", r"down.\1"),
        (r"\.resnets\.(\d+)\.(?=norm|conv)", r".block.\1."),
        (r"mid_block\.block\.0", "mid.block_1"),
        (r"mid_block\.block\.1", "mid.block_2"),
        (r"mid_block\.attentions\.0", "mid.attn_1"),
        *((rf"attn_1\.{theirs}", f"attn_1.{ours}") for theirs, ours in attention.items()),
        (r"samplers\.0\.conv", "sample.conv"),
        (r"conv_shortcut", "nin_shortcut"),
        (r"conv_norm_out", "norm_out"),
    )
    return {
        name: tensor[:, :, None, None] if "attn_1" in name and tensor.ndim == 2 and name.endswith("weight") else tensor
        for name, tensor in written.items()
    }
