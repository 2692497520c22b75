"""From llama.cpp's names of tensors to those of transformers, and back together what its converter takes apart.

The names are those of `gguf-py/gguf/tensor_mapping.py` in https://github.com/ggml-org/llama.cpp; what is taken apart of Qwen2.5-VL is told
by the converter's classes `Qwen2VLModel` and `Qwen2VLVisionModel`, which reorder no rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LANGUAGE_HALF = "qwen2vl"
"""`general.architecture` of the language half of Qwen2.5-VL; also of Qwen2-VL's, and of Qwen2.5-Omni's."""
PICTURE_HALF = "clip"
"""`general.architecture` of every picture half (mmproj), whichever language model it belongs to."""

_T5 = (
    ("enc.output_norm.", "encoder.final_layer_norm."),
    ("enc.blk.", "encoder.block."),
    ("token_embd.", "shared."),
    (".attn_q.", ".layer.0.SelfAttention.q."),
    (".attn_k.", ".layer.0.SelfAttention.k."),
    (".attn_v.", ".layer.0.SelfAttention.v."),
    (".attn_o.", ".layer.0.SelfAttention.o."),
    (".attn_norm.", ".layer.0.layer_norm."),
    (".attn_rel_b.", ".layer.0.SelfAttention.relative_attention_bias."),
    (".ffn_gate.", ".layer.1.DenseReluDense.wi_0."),
    (".ffn_up.", ".layer.1.DenseReluDense.wi_1."),
    (".ffn_down.", ".layer.1.DenseReluDense.wo."),
    (".ffn_norm.", ".layer.1.layer_norm."),
)
_GATED = ((".ffn_gate.", ".mlp.gate_proj."), (".ffn_up.", ".mlp.up_proj."), (".ffn_down.", ".mlp.down_proj."))
_LANGUAGE = (
    ("token_embd.", "model.language_model.embed_tokens."),
    ("output_norm.", "model.language_model.norm."),
    ("blk.", "model.language_model.layers."),
    (".attn_q.", ".self_attn.q_proj."),
    (".attn_k.", ".self_attn.k_proj."),
    (".attn_v.", ".self_attn.v_proj."),
    (".attn_output.", ".self_attn.o_proj."),
    (".attn_norm.", ".input_layernorm."),
    (".ffn_norm.", ".post_attention_layernorm."),
    *_GATED,
    # Last: the names above end in it too.
    ("output.", "lm_head."),
)
_PICTURES = (
    ("v.patch_embd.", "model.visual.patch_embed.proj."),
    ("v.blk.", "model.visual.blocks."),
    ("v.post_ln.", "model.visual.merger.ln_q."),
    ("mm.", "model.visual.merger.mlp."),
    (".attn_out.", ".attn.proj."),
    (".ln1.", ".norm1."),
    (".ln2.", ".norm2."),
    *_GATED,
)
_NAMES = {"t5": _T5, "t5encoder": _T5, LANGUAGE_HALF: _LANGUAGE, PICTURE_HALF: _PICTURES}

PATCHES = "model.visual.patch_embed.proj.weight"
SECOND_PATCHES = f"{PATCHES}.1"
"""The convolution over the second of two frames, which transformers has as one over both."""


def own_name(name: str, architecture: str) -> str:
    """A tensor's name in transformers; the name itself in files of another `general.architecture`."""
    for theirs, ours in _NAMES.get(architecture, ()):
        name = name.replace(theirs, ours)
    return name


def joined(tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The same tensors with those of a picture half that were taken apart put together, in `dtype`; empties `tensors` of these.

    Raises KeyError when a part is missing.
    """
    import torch

    if SECOND_PATCHES in tensors:
        parts = [tensors.pop(name).to(dtype) for name in (PATCHES, SECOND_PATCHES)]
        # [width, channels, height, width of a patch] each; the frames stand before the height.
        tensors[PATCHES] = torch.stack(parts, dim=2)
    for name in [name for name in tensors if name.startswith("model.visual.") and ".attn_q." in name]:
        parts = [tensors.pop(name.replace(".attn_q.", f".attn_{part}.")).to(dtype) for part in "qkv"]
        tensors[name.replace(".attn_q.", ".attn.qkv.")] = torch.cat(parts)
    return tensors
