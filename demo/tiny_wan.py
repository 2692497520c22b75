"""Small Wan models: the classes, files, latent formats and scheduler settings of Wan 2.1 and 2.2 in the diffusers layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .text import write_json
from .tokenizers import write_t5_tokenizer
from .weights import save_part

_TEXT_WIDTH = 32
_VISION_WIDTH = 32
_VISION_TOKENS = 257
_HEADS, _HEAD_WIDTH = 2, 12

_EXPERT = ["diffusers", "WanTransformer3DModel"]
_ABSENT = [None, None]


@dataclass(frozen=True)
class WanLayout:
    """What sets one Wan model apart from the others. `flow_shift` and `boundary_ratio` are the published ones."""

    flow_shift: float
    from_image: bool = False
    """Image to video: the transformer reads 4 mask and 16 latent channels of the image beside the 16 it denoises."""
    clip_vision: bool = False
    """2.1 only: the image is also seen through CLIP."""
    last_image: bool = False
    """FLF2V only: so is the image that the video ends with."""
    boundary_ratio: float | None = None
    """2.2 A14B only: the share of the schedule above which the first of two experts denoises."""
    high_compression: bool = False
    """2.2 TI2V-5B only: the VAE of 2.2, with 48 latent channels, and a timestep of its own for each latent token."""


WAN_LAYOUTS = {
    "Wan2.1-T2V-1.3B": WanLayout(flow_shift=3.0),
    "Wan2.1-I2V-14B-480P": WanLayout(flow_shift=3.0, from_image=True, clip_vision=True),
    "Wan2.1-FLF2V-14B-720P": WanLayout(flow_shift=5.0, from_image=True, clip_vision=True, last_image=True),
    "Wan2.2-T2V-A14B": WanLayout(flow_shift=3.0, boundary_ratio=0.875),
    "Wan2.2-I2V-A14B": WanLayout(flow_shift=5.0, from_image=True, boundary_ratio=0.9),
    "Wan2.2-TI2V-5B": WanLayout(flow_shift=5.0, high_compression=True),
}
"""By the id of the model."""


def build_wan(folder: Path, dtype: str, *, layout: WanLayout) -> None:
    """Write one into `folder`. All share their text encoder, and all but TI2V-5B the VAE of 2.1, as the real ones do."""
    two_experts = layout.boundary_ratio is not None
    write_wan_companions(folder, layout)
    vocabulary = write_t5_tokenizer(folder / "tokenizer")
    save_part(_umt5(vocabulary), folder / "text_encoder", dtype, seed=11, sharded=True)
    if layout.high_compression:
        save_part(_vae_22(), folder / "vae", dtype, seed=12)
    else:
        save_part(_vae_21(), folder / "vae", dtype, seed=13)
    if layout.clip_vision:
        write_json(folder / "image_processor" / "preprocessor_config.json", IMAGE_PROCESSOR)
        save_part(_clip_vision(), folder / "image_encoder", dtype, seed=14, prefix="vision_model.")
    save_part(_transformer(layout), folder / "transformer", dtype, seed=15, sharded=True)
    if two_experts:
        save_part(_transformer(layout), folder / "transformer_2", dtype, seed=16, sharded=True)


def write_wan_companions(folder: Path, layout: WanLayout) -> None:
    """Write what stands beside the weights and the tokenizer: the pipeline's index and the scheduler."""
    write_json(folder / "model_index.json", _model_index(layout))
    write_json(folder / "scheduler" / "scheduler_config.json", _scheduler(layout.flow_shift))


def _model_index(layout: WanLayout) -> dict[str, Any]:
    index: dict[str, Any] = {
        "_class_name": "WanImageToVideoPipeline" if layout.from_image else "WanPipeline",
        "_diffusers_version": "0.35.0.dev0",
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": _EXPERT,
        "vae": ["diffusers", "AutoencoderKLWan"],
    }
    if layout.clip_vision:
        index["image_encoder"] = ["transformers", "CLIPVisionModel"]
        index["image_processor"] = ["transformers", "CLIPImageProcessor"]
    elif layout.from_image:
        index["image_encoder"] = index["image_processor"] = _ABSENT
    if layout.boundary_ratio is not None or layout.high_compression:  # the repositories of 2.1 know none of these
        index["transformer_2"] = _EXPERT if layout.boundary_ratio is not None else _ABSENT
        index["boundary_ratio"] = layout.boundary_ratio
        index["expand_timesteps"] = layout.high_compression
    return index


def _scheduler(flow_shift: float) -> dict[str, Any]:
    return {
        "_class_name": "UniPCMultistepScheduler",
        "_diffusers_version": "0.35.0.dev0",
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "beta_start": 0.0001,
        "disable_corrector": [],
        "dynamic_thresholding_ratio": 0.995,
        "final_sigmas_type": "zero",
        "flow_shift": flow_shift,
        "lower_order_final": True,
        "num_train_timesteps": 1000,
        "predict_x0": True,
        "prediction_type": "flow_prediction",
        "rescale_betas_zero_snr": False,
        "sample_max_value": 1.0,
        "solver_order": 2,
        "solver_p": None,
        "solver_type": "bh2",
        "steps_offset": 0,
        "thresholding": False,
        "timestep_spacing": "linspace",
        "trained_betas": None,
        "use_beta_sigmas": False,
        "use_exponential_sigmas": False,
        "use_flow_sigmas": True,
        "use_karras_sigmas": False,
    }


IMAGE_PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 224},
}
"""CLIP's: the shorter side to 224, the square in the middle, CLIP's own mean and deviation."""


def _umt5(vocabulary_size: int) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    options: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "d_model": _TEXT_WIDTH,
        "d_kv": 8,
        "d_ff": 2 * _TEXT_WIDTH,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }
    return UMT5EncoderModel(UMT5Config(**options))


def _clip_vision() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    # 224 and 14 as in ViT-H, so that an image is _VISION_TOKENS.
    options: dict[str, Any] = {
        "hidden_size": _VISION_WIDTH,
        "intermediate_size": 2 * _VISION_WIDTH,
        "projection_dim": _VISION_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 224,
        "patch_size": 14,
        "hidden_act": "gelu",
    }
    return CLIPVisionModel(CLIPVisionConfig(**options))


def _vae_21() -> Any:
    from diffusers import AutoencoderKLWan

    # The 16 means and deviations of the latents are the class's defaults.
    return AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1, temperal_downsample=[False, True, True])


def _vae_22() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=48,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        # Unlike one another, so that a wrong order or a forgotten one shows; the real ones are of the same size.
        latents_mean=[0.02 * (index - 24) for index in range(48)],
        latents_std=[0.4 + 0.01 * index for index in range(48)],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
    )


def _transformer(layout: WanLayout) -> Any:
    from diffusers import WanTransformer3DModel

    latent_channels = 48 if layout.high_compression else 16
    inner_width = _HEADS * _HEAD_WIDTH
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=_HEADS,
        attention_head_dim=_HEAD_WIDTH,
        in_channels=36 if layout.from_image else latent_channels,
        out_channels=latent_channels,
        text_dim=_TEXT_WIDTH,
        freq_dim=32,
        ffn_dim=2 * inner_width,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=1024,
        image_dim=_VISION_WIDTH if layout.clip_vision else None,
        added_kv_proj_dim=inner_width if layout.clip_vision else None,
        pos_embed_seq_len=2 * _VISION_TOKENS if layout.last_image else None,
    )
