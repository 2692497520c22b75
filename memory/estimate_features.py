"""What the peak of a class depends on: token, pixel and frame counts of a workload, from the class's own config. No torch.

The peak of every operation is a sum of these features times bytes; `memory/coefficients.json` holds the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .estimate_values import Workload

Config = Mapping[str, Any]
Features = dict[str, float]

REFERENCE_PIXELS = 1024 * 1024
"""What editing pipelines scale reference pictures to (diffusers' `VAE_IMAGE_SIZE` of QwenImageEditPlus; FLUX Kontext about the same)."""
LATENT_FACTOR = 8
"""Pixels per latent pixel of every VAE here but Wan 2.2's."""
TIME_FACTOR = 4
"""Frames per latent frame of Wan's VAEs, after the first."""
WAN_TEXT = 512
"""Wan pads every prompt to this many tokens."""

DENOISERS = frozenset(
    {
        "FluxTransformer2DModel",
        "Flux2Transformer2DModel",
        "WanTransformer3DModel",
        "WanVACETransformer3DModel",
        "QwenImageTransformer2DModel",
        "ZImageTransformer2DModel",
        "UNet2DConditionModel",
    }
)
WAN_DENOISERS = frozenset({"WanTransformer3DModel", "WanVACETransformer3DModel"})
VIDEO_VAES = frozenset({"AutoencoderKLWan", "AutoencoderKLQwenImage"})
PICTURE_VAES = frozenset({"AutoencoderKL", "AutoencoderKLFlux2"})
LANGUAGE_MODELS = frozenset(
    {
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3VLForConditionalGeneration",
        "Qwen3ForCausalLM",
        "Qwen3Model",
        "Mistral3ForConditionalGeneration",
    }
)
TEXT_ENCODERS = frozenset({"T5EncoderModel", "UMT5EncoderModel", "CLIPTextModel", "CLIPTextModelWithProjection"})
IMAGE_ENCODERS = frozenset({"CLIPVisionModel", "SiglipVisionModel"})


def latent_frames(workload: Workload) -> int:
    """Frames of the latent of a clip."""
    return (workload.frames - 1) // TIME_FACTOR + 1


def latent_factor(config: Config) -> int:
    """Pixels per latent pixel: 16 for Wan 2.2's VAE and its transformer, else 8."""
    if config.get("patch_size") == 2 or config.get("scale_factor_spatial") == 2 * LATENT_FACTOR:
        return 2 * LATENT_FACTOR
    return 2 * LATENT_FACTOR if config.get("in_channels") == 48 and "ffn_dim" in config else LATENT_FACTOR


def image_tokens(class_name: str, config: Config, workload: Workload) -> int:
    """Tokens of what is made, with those of reference pictures."""
    side = 2 * (latent_factor(config) if class_name in WAN_DENOISERS else LATENT_FACTOR)
    own = (workload.width // side) * (workload.height // side)
    if class_name in WAN_DENOISERS:
        return own * latent_frames(workload)
    return own + workload.reference_images * (REFERENCE_PIXELS // side**2)


def features(class_name: str, config: Config, workload: Workload) -> Features:
    """The features of a class for a workload; the same names for every workload of a class."""
    batch = workload.rows if class_name in DENOISERS else workload.batch
    if class_name == "UNet2DConditionModel":
        area = (workload.width // LATENT_FACTOR) * (workload.height // LATENT_FACTOR)
        return {"area": batch * area, "area_squared": batch * area**2, "text": batch * workload.text_tokens, "batch": batch, "one": 1}
    if class_name in DENOISERS:
        image = image_tokens(class_name, config, workload)
        text = WAN_TEXT if class_name in WAN_DENOISERS else workload.text_tokens
        return {
            "image": batch * image,
            "image_once": image,
            "text": batch * text,
            "text_once": text,
            "attention": batch * (image + text) ** 2 if class_name not in WAN_DENOISERS else batch * image**2,
            "crossed": batch * image * text,
            "batch": batch,
            "one": 1,
        }
    if class_name in VIDEO_VAES:
        pixels = workload.batch * workload.width * workload.height
        return {"pixels": pixels, "pixels_frames": pixels * workload.frames, "batch": batch, "one": 1}
    if class_name in PICTURE_VAES:
        pixels = workload.width * workload.height
        return {"pixels": batch * pixels, "pixels_squared": batch * (pixels / 64) ** 2, "batch": batch, "one": 1}
    if class_name in IMAGE_ENCODERS:
        return {"batch": batch, "one": 1}
    length = workload.text_tokens
    return {
        "text": batch * length,
        "attention": batch * length**2,
        "text_once": length,
        "attention_once": length**2,
        "batch": batch,
        "one": 1,
    }
