"""How each class is called in each stage, with the shapes that its pipeline gives it. Tensors are made on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..errors import UserError
from .estimate_features import (
    IMAGE_ENCODERS,
    LANGUAGE_MODELS,
    LATENT_FACTOR,
    TEXT_ENCODERS,
    WAN_TEXT,
    image_tokens,
    latent_factor,
    latent_frames,
)
from .estimate_values import Stage, Workload

CLIP_VISION_TOKENS = 257
"""Patches of CLIP ViT-H's 224 pixel picture, and its class token."""

Make = Callable[..., torch.Tensor]


def forward(
    module: Any, class_name: str, stage: Stage, workload: Workload, dtype: torch.dtype, device: str = "meta"
) -> Callable[[], object]:
    """A function that runs the module once; its inputs are made here, before it is called.

    Raises:
        UserError: it is not known how this class is called in this stage.
    """

    def make(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=device) if device == "meta" else torch.zeros(shape, dtype=dtype, device=device)

    config = vars(module.config) if class_name in LANGUAGE_MODELS | TEXT_ENCODERS | IMAGE_ENCODERS else dict(module.config)
    builder = _BUILDERS.get((class_name, stage))
    if builder is None:
        raise UserError(f"It is not known how a {class_name} is called in the stage '{stage}', so its peak cannot be simulated.")
    return builder(module, config, workload, make)


def is_known(class_name: str, stage: Stage) -> bool:
    """Whether `forward` knows how this class is called in this stage."""
    return (class_name, stage) in _BUILDERS


def _flux(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    tokens, batch = image_tokens("FluxTransformer2DModel", config, work), work.rows
    axes = len(config["axes_dims_rope"])
    inputs = {
        "hidden_states": make(batch, tokens, config["in_channels"]),
        "encoder_hidden_states": make(batch, work.text_tokens, config["joint_attention_dim"]),
        "timestep": make(batch),
        "img_ids": make(tokens, axes),
        "txt_ids": make(work.text_tokens, axes),
        "guidance": make(batch, dtype=torch.float32) if config["guidance_embeds"] else None,
    }
    if "pooled_projection_dim" in config:
        inputs["pooled_projections"] = make(batch, config["pooled_projection_dim"])
    return lambda: module(**inputs, return_dict=False)


def _wan(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    factor, batch = latent_factor(config), work.rows
    shape = (latent_frames(work), work.height // factor, work.width // factor)
    # TI2V-5B: the pipeline gives every token a timestep of its own (`expand_timesteps`), from text as well as from a picture.
    per_token = factor > LATENT_FACTOR
    image = None
    if config.get("image_dim") is not None:
        pictures = 2 if config.get("pos_embed_seq_len") else 1
        image = make(batch * pictures, CLIP_VISION_TOKENS, config["image_dim"])
    inputs = {
        "hidden_states": make(batch, config["in_channels"], *shape),
        "timestep": make(batch, image_tokens("WanTransformer3DModel", config, work), dtype=torch.float32)
        if per_token
        else make(batch, dtype=torch.int64),
        "encoder_hidden_states": make(batch, WAN_TEXT, config["text_dim"]),
        "encoder_hidden_states_image": image,
    }
    return lambda: module(**inputs, return_dict=False)


def _wan_vace(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    factor, batch = latent_factor(config), work.rows
    shape = (latent_frames(work), work.height // factor, work.width // factor)
    inputs = {
        "hidden_states": make(batch, config["in_channels"], *shape),
        "timestep": make(batch, dtype=torch.int64),
        "encoder_hidden_states": make(batch, WAN_TEXT, config["text_dim"]),
        "control_hidden_states": make(batch, config["vace_in_channels"], *shape),
        "control_hidden_states_scale": make(len(config["vace_layers"])),
    }
    return lambda: module(**inputs, return_dict=False)


def _sd3(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    batch = work.rows
    inputs = {
        "hidden_states": make(batch, config["in_channels"], work.height // LATENT_FACTOR, work.width // LATENT_FACTOR),
        "encoder_hidden_states": make(batch, work.text_tokens, config["joint_attention_dim"]),
        "pooled_projections": make(batch, config["pooled_projection_dim"]),
        "timestep": make(batch),
    }
    return lambda: module(**inputs, return_dict=False)


def _ltx(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    # Its VAE makes one latent frame of eight and one latent pixel of 32 x 32.
    frames, height, width = (work.frames - 1) // 8 + 1, work.height // 32, work.width // 32
    batch = work.rows
    inputs = {
        "hidden_states": make(batch, frames * height * width, config["in_channels"]),
        "encoder_hidden_states": make(batch, work.text_tokens, config["caption_channels"]),
        "timestep": make(batch),
        "encoder_attention_mask": make(batch, work.text_tokens),
        "num_frames": frames,
        "height": height,
        "width": width,
    }
    return lambda: module(**inputs, return_dict=False)


def _qwen_image(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    tokens, batch = image_tokens("QwenImageTransformer2DModel", config, work), work.rows
    side = 2 * LATENT_FACTOR
    own = (1, work.height // side, work.width // side)
    references = [(1, 64, 64)] * work.reference_images
    inputs = {
        "hidden_states": make(batch, tokens, config["in_channels"]),
        "encoder_hidden_states": make(batch, work.text_tokens, config["joint_attention_dim"]),
        "timestep": make(batch),
        "img_shapes": [[own, *references]] * batch,
    }
    if "txt_seq_lens" in module.forward.__code__.co_varnames[: module.forward.__code__.co_argcount]:
        inputs["txt_seq_lens"] = [work.text_tokens] * batch  # diffusers before 0.37
    return lambda: module(**inputs, return_dict=False)


def _z_image(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    pictures = [make(config["in_channels"], 1, work.height // LATENT_FACTOR, work.width // LATENT_FACTOR) for _ in range(work.rows)]
    captions = [make(work.text_tokens, config["cap_feat_dim"]) for _ in range(work.rows)]
    steps = make(work.rows)
    return lambda: module(pictures, steps, captions, return_dict=False)


def _unet(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    batch = work.rows
    sample = make(batch, config["in_channels"], work.height // LATENT_FACTOR, work.width // LATENT_FACTOR)
    text = make(batch, work.text_tokens, config["cross_attention_dim"])
    added = None
    if config.get("addition_embed_type") == "text_time":
        ids = 5 if config["projection_class_embeddings_input_dim"] == 2560 else 6  # the refiner has an aesthetic score instead of two sizes
        pooled = config["projection_class_embeddings_input_dim"] - ids * config["addition_time_embed_dim"]
        added = {"text_embeds": make(batch, pooled), "time_ids": make(batch, ids)}
    step = make(batch)
    return lambda: module(sample, step, text, added_cond_kwargs=added, return_dict=False)


def _picture_decode(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    latents = make(work.batch, config["latent_channels"], work.height // LATENT_FACTOR, work.width // LATENT_FACTOR)
    return lambda: module.decode(latents, return_dict=False)


def _picture_encode(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    pixels = make(work.batch, config["in_channels"], work.height, work.width)
    return lambda: module.encode(pixels, return_dict=False)


def _video_decode(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    factor = latent_factor(config)
    latents = make(work.batch, config["z_dim"], latent_frames(work), work.height // factor, work.width // factor)
    return lambda: module.decode(latents, return_dict=False)


def _video_encode(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    pixels = make(work.batch, config.get("input_channels") or 3, work.frames, work.height, work.width)
    return lambda: module.encode(pixels, return_dict=False)


def _text(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    ids = make(work.batch, work.text_tokens, dtype=torch.int64)
    return lambda: module(input_ids=ids)


def _vision(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    size = config["image_size"]
    pixels = make(work.batch, 3, size, size)
    # Wan takes the last but one hidden state, so all of them are kept.
    return lambda: module(pixel_values=pixels, output_hidden_states=True)


def _language(module: Any, config: Mapping[str, Any], work: Workload, make: Make) -> Callable[[], object]:
    ids = make(work.batch, work.text_tokens, dtype=torch.int64)
    # diffusers' pipelines run it as a prompt encoder with every hidden state kept and with its cache of keys and values.
    return lambda: module(input_ids=ids, output_hidden_states=True)


_BUILDERS: dict[tuple[str, str], Callable[[Any, Mapping[str, Any], Workload, Make], Callable[[], object]]] = {
    ("FluxTransformer2DModel", "denoise"): _flux,
    ("Flux2Transformer2DModel", "denoise"): _flux,
    ("WanTransformer3DModel", "denoise"): _wan,
    ("WanVACETransformer3DModel", "denoise"): _wan_vace,
    ("SD3Transformer2DModel", "denoise"): _sd3,
    ("LTXVideoTransformer3DModel", "denoise"): _ltx,
    ("QwenImageTransformer2DModel", "denoise"): _qwen_image,
    ("ZImageTransformer2DModel", "denoise"): _z_image,
    ("UNet2DConditionModel", "denoise"): _unet,
    ("AutoencoderKL", "decode"): _picture_decode,
    ("AutoencoderKL", "encode"): _picture_encode,
    ("AutoencoderKLFlux2", "decode"): _picture_decode,
    ("AutoencoderKLFlux2", "encode"): _picture_encode,
    **{(name, "decode"): _video_decode for name in ("AutoencoderKLWan", "AutoencoderKLQwenImage")},
    **{(name, "encode"): _video_encode for name in ("AutoencoderKLWan", "AutoencoderKLQwenImage")},
    **{(name, "encode"): _text for name in TEXT_ENCODERS},
    **{(name, "encode"): _vision for name in IMAGE_ENCODERS},
    **{(name, "encode"): _language for name in LANGUAGE_MODELS},
}
