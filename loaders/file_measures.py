"""The few sizes that tell models of one kind apart: read from the shapes in a file, and from a model's config.

Their names are words for messages. A tensor that is not there is a KeyError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .file_headers import Shape

Shapes = Mapping[str, Shape]
Config = Mapping[str, Any]
Measures = dict[str, Any]


def _shape(shapes: Shapes, *names: str) -> Shape:
    """The shape of the tensor with the first of these names that is there; KeyError when none is."""
    return shapes[next((name for name in names if name in shapes), names[0])]


def _has(shapes: Shapes, *names: str) -> bool:
    return any(name in shapes for name in names)


def _count(shapes: Shapes, *stems: str) -> int:
    """How many numbers follow the stems: the layers of a stack."""
    return len({name[len(stem) :].partition(".")[0] for name in shapes for stem in stems if name.startswith(stem)})


def measure_flux(shapes: Shapes) -> Measures:
    width, channels = _shape(shapes, "img_in.weight", "x_embedder.weight")
    return {
        "input channels": channels,
        "width": width,
        "text width": _shape(shapes, "txt_in.weight", "context_embedder.weight")[1],
        "pooled width": _shape(shapes, "vector_in.in_layer.weight", "time_text_embed.text_embedder.linear_1.weight")[1],
        "double blocks": _count(shapes, "double_blocks.", "transformer_blocks."),
        "single blocks": _count(shapes, "single_blocks.", "single_transformer_blocks."),
        "guidance": _has(shapes, "guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight"),
    }


def expect_flux(class_name: str, config: Config) -> Measures:
    return {
        "input channels": config["in_channels"],
        "width": config["num_attention_heads"] * config["attention_head_dim"],
        "text width": config["joint_attention_dim"],
        "pooled width": config["pooled_projection_dim"],
        "double blocks": config["num_layers"],
        "single blocks": config["num_single_layers"],
        "guidance": config["guidance_embeds"],
    }


def measure_wan(shapes: Shapes) -> Measures:
    width, channels, *patch = shapes["patch_embedding.weight"]
    image = ("img_emb.proj.0.weight", "condition_embedder.image_embedder.norm1.weight")
    output = _shape(shapes, "head.head.weight", "proj_out.weight")[0]
    return {
        "input channels": channels,
        "output channels": output // (patch[0] * patch[1] * patch[2]),
        "width": width,
        "layers": _count(shapes, "blocks."),
        "inner width": _shape(shapes, "blocks.0.ffn.0.weight", "blocks.0.ffn.net.0.proj.weight")[0],
        "text width": _shape(shapes, "text_embedding.0.weight", "condition_embedder.text_embedder.linear_1.weight")[1],
        "image width": _shape(shapes, *image)[0] if _has(shapes, *image) else None,
        "last image": _has(shapes, "img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
        "VACE layers": _count(shapes, "vace_blocks."),
        "animation": any(name.startswith(("motion_encoder.", "face_adapter.")) for name in shapes),
    }


def expect_wan(class_name: str, config: Config) -> Measures:
    return {
        "input channels": config["in_channels"],
        "output channels": config["out_channels"],
        "width": config["num_attention_heads"] * config["attention_head_dim"],
        "layers": config["num_layers"],
        "inner width": config["ffn_dim"],
        "text width": config["text_dim"],
        "image width": config.get("image_dim"),
        "last image": config.get("pos_embed_seq_len") is not None,
        "VACE layers": len(config.get("vace_layers", [])),
        "animation": "Animate" in class_name,
    }


def measure_qwen_image(shapes: Shapes) -> Measures:
    width, channels = shapes["img_in.weight"]
    measures = {
        "input channels": channels,
        "width": width,
        "text width": shapes["txt_in.weight"][1],
        "layers": _count(shapes, "transformer_blocks."),
        "layered": _has(shapes, "time_text_embed.addition_t_embedding.weight"),
    }
    # ComfyUI's files of Edit-2511 carry this mark; files in the layout of diffusers do not tell.
    return measures | {"second timestep": True} if "__index_timestep_zero__" in shapes else measures


def expect_qwen_image(class_name: str, config: Config) -> Measures:
    return {
        "input channels": config["in_channels"],
        "width": config["num_attention_heads"] * config["attention_head_dim"],
        "text width": config["joint_attention_dim"],
        "layers": config["num_layers"],
        "layered": config.get("use_additional_t_cond", False),
        "second timestep": config.get("zero_cond_t", False),
    }


def measure_t5(shapes: Shapes) -> Measures:
    vocabulary, width = _shape(shapes, "shared.weight", "encoder.embed_tokens.weight")
    return {
        "vocabulary": vocabulary,
        "width": width,
        "layers": _count(shapes, "encoder.block."),
        # UMT5 has one a layer, T5 one in all.
        "position tables": sum(name.endswith("SelfAttention.relative_attention_bias.weight") for name in shapes),
    }


def expect_t5(class_name: str, config: Config) -> Measures:
    layers = config["num_layers"]
    return {
        "vocabulary": config["vocab_size"],
        "width": config["d_model"],
        "layers": layers,
        "position tables": layers if class_name.startswith("U") else 1,
    }


def measure_clip(shapes: Shapes) -> Measures:
    vocabulary, width = _shape(shapes, *(f"{prefix}embeddings.token_embedding.weight" for prefix in ("text_model.", "")))
    return {"vocabulary": vocabulary, "width": width, "layers": _count(shapes, "text_model.encoder.layers.", "encoder.layers.")}


def expect_clip(class_name: str, config: Config) -> Measures:
    return {"vocabulary": config["vocab_size"], "width": config["hidden_size"], "layers": config["num_hidden_layers"]}


def measure_kl(shapes: Shapes) -> Measures:
    """Of AutoencoderKL: FLUX's and Stable Diffusion's."""
    inner, latents = shapes["decoder.conv_in.weight"][:2]
    return {
        "latent channels": latents,
        "width": shapes["encoder.conv_in.weight"][0],
        "inner width": inner,
        "quant convolutions": _has(shapes, "quant_conv.weight"),
    }


def expect_kl(class_name: str, config: Config) -> Measures:
    return {
        "latent channels": config["latent_channels"],
        "width": config["block_out_channels"][0],
        "inner width": config["block_out_channels"][-1],
        "quant convolutions": config.get("use_quant_conv", True),
    }


def measure_wan_vae(shapes: Shapes) -> Measures:
    width, channels = _shape(shapes, "encoder.conv1.weight", "encoder.conv_in.weight")[:2]
    return {
        "latent channels": _shape(shapes, "conv2.weight", "post_quant_conv.weight")[0],
        "picture channels": channels,
        "width": width,
        "decoder width": _shape(shapes, "decoder.conv1.weight", "decoder.conv_in.weight")[0],
        "residual": any(name.startswith(("encoder.downsamples.0.downsamples.", "encoder.down_blocks.0.resnets.")) for name in shapes),
    }


def expect_wan_vae(class_name: str, config: Config) -> Measures:
    decoder_width = config.get("decoder_base_dim") or config["base_dim"]
    return {
        "latent channels": config["z_dim"],
        "picture channels": config.get("in_channels", config.get("input_channels", 3)),
        "width": config["base_dim"],
        "decoder width": decoder_width * config["dim_mult"][-1],
        "residual": config.get("is_residual", False),
    }


def measure_qwen_vl(shapes: Shapes) -> Measures:
    vocabulary, width = _shape(shapes, "model.embed_tokens.weight", "model.language_model.embed_tokens.weight")
    return {
        "vocabulary": vocabulary,
        "width": width,
        "layers": _count(shapes, "model.layers.", "model.language_model.layers."),
        "vision width": _shape(shapes, *(f"{stem}.patch_embed.proj.weight" for stem in ("visual", "model.visual")))[0],
        "vision layers": _count(shapes, "visual.blocks.", "model.visual.blocks."),
    }


def measure_language_half(shapes: Shapes) -> Measures:
    """Of Qwen2.5-VL in two files. Raises ValueError where the same file reads pictures: it is another model then."""
    if _has(shapes, "model.visual.patch_embed.proj.weight"):
        raise ValueError
    vocabulary, width = shapes["model.language_model.embed_tokens.weight"]
    return {"vocabulary": vocabulary, "width": width, "layers": _count(shapes, "model.language_model.layers.")}


def expect_qwen_vl(class_name: str, config: Config) -> Measures:
    text, vision = config.get("text_config", config), config["vision_config"]
    return {
        "vocabulary": text["vocab_size"],
        "width": text["hidden_size"],
        "layers": text["num_hidden_layers"],
        "longest context": text["max_position_embeddings"],
        "vision width": vision["hidden_size"],
        "vision layers": vision["depth"],
    }


def measure_clip_vision(shapes: Shapes) -> Measures:
    width, _, patch, _ = _shape(shapes, *(f"{prefix}embeddings.patch_embedding.weight" for prefix in ("vision_model.", "")))
    return {"width": width, "patch": patch, "layers": _count(shapes, "vision_model.encoder.layers.", "encoder.layers.")}


def expect_clip_vision(class_name: str, config: Config) -> Measures:
    return {"width": config["hidden_size"], "patch": config["patch_size"], "layers": config["num_hidden_layers"]}
