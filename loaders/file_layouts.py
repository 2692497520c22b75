"""Which network a file holds and how large it is, from the names and shapes of its tensors.

The same few sizes are read from a file (`Layout.measure`) and from a model's config (`Layout.expect`); a file fits a config when all that
it tells is what the config says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import file_measures as sizes
from .file_measures import Config, Measures, Shapes

TRANSFORMER_PREFIX = "model.diffusion_model."
"""What the names of a transformer begin with in files that ComfyUI saved."""


@dataclass(frozen=True)
class Layout:
    """One kind of network: the names that tell it, in any of the layouts that files have."""

    words: str
    class_names: tuple[str, ...]
    marks: tuple[tuple[str, ...], ...]
    """Tensors that every such file has, one tuple for each way of naming them."""
    measure: Callable[[Shapes], Measures]
    expect: Callable[[str, Config], Measures]
    """From the name of the class and its config."""


def own_names(names: list[str]) -> dict[str, str]:
    """Name in the file -> name without what ComfyUI puts before it; of a checkpoint only the transformer's tensors."""
    if any(name.startswith(TRANSFORMER_PREFIX) for name in names):
        return {name: name.removeprefix(TRANSFORMER_PREFIX) for name in names if name.startswith(TRANSFORMER_PREFIX)}
    return {name: name for name in names}


def layout_of(shapes: Shapes) -> Layout | None:
    """The layout whose marks the file has, or None."""
    return next((layout for layout in LAYOUTS if any(all(mark in shapes for mark in marks) for marks in layout.marks)), None)


def layout_for(class_name: str) -> Layout | None:
    """The layout in which files hold a class, or None for a class that is not read from single files."""
    return next((layout for layout in LAYOUTS if class_name in layout.class_names), None)


LAYOUTS = (
    Layout(
        "FLUX transformer",
        ("FluxTransformer2DModel",),
        (
            ("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight", "vector_in.in_layer.weight"),
            ("x_embedder.weight", "single_transformer_blocks.0.proj_mlp.weight", "time_text_embed.text_embedder.linear_1.weight"),
        ),
        sizes.measure_flux,
        sizes.expect_flux,
    ),
    Layout(
        "Wan transformer",
        ("WanTransformer3DModel", "WanVACETransformer3DModel", "WanAnimateTransformer3DModel"),
        (("patch_embedding.weight", "head.modulation"), ("patch_embedding.weight", "scale_shift_table")),
        sizes.measure_wan,
        sizes.expect_wan,
    ),
    Layout(
        "Qwen-Image transformer",
        ("QwenImageTransformer2DModel",),
        (("img_in.weight", "txt_in.weight", "txt_norm.weight", "transformer_blocks.0.attn.add_q_proj.weight"),),
        sizes.measure_qwen_image,
        sizes.expect_qwen_image,
    ),
    Layout(
        "T5 text encoder",
        ("T5EncoderModel", "UMT5EncoderModel"),
        (("encoder.block.0.layer.0.SelfAttention.q.weight",),),
        sizes.measure_t5,
        sizes.expect_t5,
    ),
    Layout(
        "CLIP text encoder",
        ("CLIPTextModel", "CLIPTextModelWithProjection"),
        (("text_model.embeddings.token_embedding.weight",), ("embeddings.token_embedding.weight",)),
        sizes.measure_clip,
        sizes.expect_clip,
    ),
    Layout(
        "VAE of FLUX or Stable Diffusion",
        ("AutoencoderKL",),
        (
            ("encoder.conv_in.weight", "decoder.conv_in.weight", "encoder.down.0.block.0.norm1.weight"),
            ("encoder.conv_in.weight", "decoder.conv_in.weight", "encoder.down_blocks.0.resnets.0.norm1.weight"),
        ),
        sizes.measure_kl,
        sizes.expect_kl,
    ),
    Layout(
        "VAE of Wan or Qwen-Image",
        ("AutoencoderKLWan", "AutoencoderKLQwenImage"),
        (
            ("conv2.weight", "encoder.conv1.weight", "decoder.middle.0.residual.0.gamma"),
            ("post_quant_conv.weight", "encoder.conv_in.weight", "decoder.mid_block.resnets.0.norm1.gamma"),
        ),
        sizes.measure_wan_vae,
        sizes.expect_wan_vae,
    ),
    Layout(
        "Qwen2.5-VL",
        ("Qwen2_5_VLForConditionalGeneration",),
        (
            ("model.embed_tokens.weight", "visual.patch_embed.proj.weight", "visual.blocks.0.mlp.gate_proj.weight"),
            (
                "model.language_model.embed_tokens.weight",
                "model.visual.patch_embed.proj.weight",
                "model.visual.blocks.0.mlp.gate_proj.weight",
            ),
        ),
        sizes.measure_qwen_vl,
        sizes.expect_qwen_vl,
    ),
    Layout(
        "language half of Qwen2.5-VL",
        ("Qwen2_5_VLForConditionalGeneration",),
        (("model.language_model.embed_tokens.weight", "model.language_model.layers.0.self_attn.q_proj.bias"),),
        sizes.measure_language_half,
        sizes.expect_qwen_vl,
    ),
    Layout(
        "CLIP image encoder",
        ("CLIPVisionModel", "CLIPVisionModelWithProjection"),
        (("vision_model.embeddings.patch_embedding.weight",), ("embeddings.patch_embedding.weight", "embeddings.class_embedding")),
        sizes.measure_clip_vision,
        sizes.expect_clip_vision,
    ),
)
