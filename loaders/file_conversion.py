"""From the names that authors and ComfyUI give tensors to those of diffusers.

diffusers' converters are used where they are right for every size. Ours for FLUX has no fixed width and cuts the joined projections
without copying them; those for the VAE of Wan 2.2 diffusers has not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    Tensors = dict[str, torch.Tensor]

_FLUX_NAMES = {
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "txt_in": "context_embedder",
    "img_in": "x_embedder",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
_FLUX_DOUBLE = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
}
_FLUX_SINGLE = {
    "modulation.lin": "norm.linear",
    "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
_FLUX_JOINED = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
}
"""Rows of one matrix that diffusers keeps apart: parts as wide as the model, and what is left."""

_WAN_22_NAMES = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"^(encoder|decoder)\.head\.0\.", r"\1.norm_out."),
    (r"^(encoder|decoder)\.head\.2\.", r"\1.conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"^encoder\.downsamples\.(\d+)\.downsamples\.(\d+)\.(resample|time_conv)\.", r"encoder.down_blocks.\1.downsampler.\3."),
    (r"^decoder\.upsamples\.(\d+)\.upsamples\.(\d+)\.(resample|time_conv)\.", r"decoder.up_blocks.\1.upsampler.\3."),
    (r"^encoder\.downsamples\.(\d+)\.downsamples\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
    (r"^decoder\.upsamples\.(\d+)\.upsamples\.(\d+)\.", r"decoder.up_blocks.\1.resnets.\2."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)


def convert(class_name: str, tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    """The tensors under diffusers' names; those that have them already stay as they are. Empties `tensors` where it can."""
    from diffusers.loaders import single_file_utils as own

    if class_name == "FluxTransformer2DModel" and "double_blocks.0.img_attn.qkv.weight" in tensors:
        return _flux(tensors)
    if class_name.startswith("Wan") and "head.modulation" in tensors:
        # The one tensor that diffusers' converter forgets.
        if (positions := tensors.pop("img_emb.emb_pos", None)) is not None:
            tensors["condition_embedder.image_embedder.pos_embed"] = positions
        return dict(own.convert_wan_transformer_to_diffusers(tensors))
    if class_name == "AutoencoderKL" and "encoder.down.0.block.0.norm1.weight" in tensors:
        return dict(own.convert_ldm_vae_checkpoint(tensors, config))
    if "encoder.downsamples.0.downsamples.0.residual.0.gamma" in tensors:
        return {_wan_22(name): tensor for name, tensor in tensors.items()}
    if "encoder.downsamples.0.residual.0.gamma" in tensors:
        return dict(own.convert_wan_vae_to_diffusers(tensors))
    return tensors


def _flux(tensors: Tensors) -> Tensors:
    import torch

    width = tensors["img_in.weight"].shape[0]
    converted: Tensors = {}
    for name in list(tensors):
        tensor, (block, part, kind) = tensors.pop(name), _flux_place(name)
        if part in _FLUX_JOINED and block:
            targets = _FLUX_JOINED[part]
            start = 0
            for target in targets:
                rows = width if target != "proj_mlp" else tensor.shape[0] - start
                converted[f"{block}{target}.{kind}"] = tensor[start : start + rows]
                start += rows
            continue
        names = _FLUX_NAMES if not block else _FLUX_SINGLE if block.startswith("single") else _FLUX_DOUBLE
        if part == "final_layer.adaLN_modulation.1":
            # BFL: shift, scale; diffusers: scale, shift. A list, since a matrix that stays quantised would not survive a tuple.
            tensor = torch.cat(list(tensor.chunk(2))[::-1])
        converted[f"{block}{names.get(part, part)}.{kind}"] = tensor
    return converted


def _flux_place(name: str) -> tuple[str, str, str]:
    """Block in diffusers' words, layer in BFL's, `weight` or `bias`: the norms' `scale` is a weight."""
    layer, _, kind = name.rpartition(".")
    found = re.fullmatch(r"(double|single)_blocks\.(\d+)\.(.+)", layer)
    kind = "weight" if kind == "scale" else kind
    if found is None:
        return "", layer, kind
    stack = "transformer_blocks" if found[1] == "double" else "single_transformer_blocks"
    return f"{stack}.{found[2]}.", found[3], kind


def _wan_22(name: str) -> str:
    for pattern, replacement in _WAN_22_NAMES:
        name = re.sub(pattern, replacement, name)
    return name
