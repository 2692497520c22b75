"""FLUX.1: prompt to conditioning, picture to latents, denoising, latents to picture.

Each function runs one stage of diffusers' classic FLUX pipelines with the other components left out, in the pipeline's own order of
operations, so that the stages together equal the whole pipeline bit for bit.

Latents outside these functions are in VAE space: unpacked [B, 16, H/8, W/8], as `AutoencoderKL.encode` gives and `.decode` takes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..loaders.lora import schedule_changes, settings_of
from ..loaders.sources import read_config
from ..loaders.store import STORE
from ..memory.out_of_memory import within_memory
from .defaults import own_steps
from .flux_checks import (
    check_conditioning,
    check_denoise,
    check_guidance,
    check_latents,
    check_prompt_count,
    check_size,
    check_text_encoders,
    longest_prompt,
)
from .handles import check_transformer
from .prompt_cache import cached
from .step_cache import cached_steps, check_step_cache
from .steps import interruptible, report_steps
from .tiles import use_vae

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component

LATENT_FORMAT = "flux"


@dataclass(frozen=True)
class Prompt:
    """An encoded prompt: T5 hidden states [B, tokens, 4096], the pooled CLIP vector [B, 768], and the guidance asked for, if any."""

    embeds: torch.Tensor
    pooled: torch.Tensor
    guidance: float | None = None


@dataclass(frozen=True)
class Picture:
    """An encoded picture: the mean of the VAE's posterior [B, 16, H/8, W/8], and the posterior's own parameters [B, 32, H/8, W/8].

    The pipeline draws from the posterior with the run's seed, so drawing waits until the seed is known.
    """

    mean: torch.Tensor
    moments: torch.Tensor | None = None


@within_memory("encode")
def encode_prompt(clip_l: Component, t5_xxl: Component, prompt: str, *, clip_prompt: str = "", guidance: float | None = None) -> Prompt:
    """Encode a prompt with both text encoders; `clip_prompt` is what CLIP sees, when it is not the same.

    The length in tokens is the model's own (256 for FLUX.1 [schnell], 512 for the others: diffusers' FLUX documentation).
    """
    check_text_encoders(clip_l, t5_xxl)
    if clip_l.model == t5_xxl.model:
        check_guidance(clip_l.model_entry, guidance)
    tokenizers = [clip_l.tokenizer(), t5_xxl.tokenizer()]
    # Encoders may be picked one by one; a model that takes fewer tokens shows in the one that came from its loader.
    limit = min(longest_prompt(clip_l.model_entry), longest_prompt(t5_xxl.model_entry))

    def encode() -> dict[str, torch.Tensor]:
        from diffusers import FluxPipeline

        parts = _no_parts() | dict(zip(("tokenizer", "tokenizer_2"), map(STORE.companion, tokenizers), strict=True))
        with STORE.use(clip_l, t5_xxl) as (text_encoder, text_encoder_2):
            pipeline: Any = FluxPipeline(**parts | {"text_encoder": text_encoder, "text_encoder_2": text_encoder_2})
            # What FluxPipeline.encode_prompt does, for encoders that may stand on different devices.
            pooled = pipeline._get_clip_prompt_embeds([clip_prompt or prompt], device=STORE.device_of(clip_l))
            embeds = pipeline._get_t5_prompt_embeds([prompt], max_sequence_length=limit, device=STORE.device_of(t5_xxl))
        return {"embeds": embeds, "pooled": pooled}

    request = {"kind": "flux", "prompt": prompt, "clip_prompt": clip_prompt or prompt, "limit": limit}
    tensors = cached([clip_l, t5_xxl], tokenizers, request, encode)
    return Prompt(tensors["embeds"], tensors["pooled"], guidance)


@within_memory("encode")
def encode_image(vae: Component, image: torch.Tensor) -> Picture:
    """Encode pictures [B, H, W, 3] with values 0..1. Raises UserError when a side is not a multiple of 16."""
    import torch
    from diffusers.image_processor import VaeImageProcessor

    height, width = image.shape[1:3]
    check_size(width, height)
    with use_vae(vae) as module:
        pixels = VaeImageProcessor(vae_scale_factor=16).preprocess(image[..., :3].movedim(-1, 1), height, width)
        posterior = module.encode(pixels.to(STORE.device_of(vae), module.dtype)).latent_dist
    return Picture(
        posterior.mean.float().cpu(),
        posterior.parameters.cpu() if isinstance(posterior.parameters, torch.Tensor) else None,
    )


@within_memory("denoise")
def denoise(
    transformer: Component,
    prompt: Prompt,
    *,
    width: int,
    height: int,
    seed: int,
    batch_size: int = 1,
    steps: int | None = None,
    strength: float = 1.0,
    picture: Picture | None = None,
    mask: torch.Tensor | None = None,
    scheduler: Component | None = None,
) -> torch.Tensor:
    """Denoise to latents [batch, 16, H/8, W/8] in VAE space: from noise, from a picture, or within a mask of a picture.

    `mask` [B, H, W] is 1 where the picture is painted anew. With a picture, the size is the picture's and `strength` is how much of the
    schedule runs. Each prompt, or each picture, gives `batch_size` results. `steps` is the registry LoRA's or the model's when None.
    """
    import torch

    check_transformer(transformer, "FLUX_TRANSFORMER")
    model = transformer.model_entry
    check_denoise(strength, has_picture=picture is not None, has_mask=mask is not None)
    check_guidance(model, prompt.guidance)
    check_conditioning(transformer, prompt.embeds, prompt.pooled)
    if picture is not None:
        check_latents(transformer, picture.mean)
        height, width = (8 * side for side in picture.mean.shape[-2:])
        if strength == 0:
            return _each_repeated(picture.mean, batch_size * picture.mean.shape[0])
    check_size(width, height)
    count = batch_size * (prompt.embeds.shape[0] if picture is None else picture.mean.shape[0])
    check_prompt_count(prompt.embeds.shape[0], count)

    vae_config = read_config(transformer.sibling("vae"))
    noise_schedule = STORE.companion(scheduler or transformer.sibling("scheduler"))
    changes = schedule_changes(transformer, scheduler)
    own_guidance = _guidance(transformer)
    steps = steps or own_steps(transformer)
    # What FluxImg2ImgPipeline.get_timesteps leaves of a schedule.
    left = math.ceil(steps * strength)
    check_step_cache(transformer, left, strength=strength)
    generator = torch.Generator("cpu").manual_seed(seed)
    with STORE.use(transformer) as (module,):
        dtype = module.dtype
        device = STORE.device_of(transformer)
        start: dict[str, Any] = {} if picture is None else {"image": _draw(picture, vae_config, device, dtype, generator, batch_size)}
        if mask is not None:
            start |= {"mask_image": mask[:, None], "masked_image_latents": start["image"]}
        if picture is not None:
            start |= {"strength": strength}
        pipeline = _sampler(picture, mask)(
            **_no_parts() | {"transformer": module, "scheduler": type(noise_schedule).from_config(noise_schedule.config, **changes)}
        )
        pipeline.set_progress_bar_config(disable=True)
        with interruptible(module), cached_steps(module, transformer, left):
            packed = pipeline(
                prompt_embeds=_each_repeated(prompt.embeds, count).to(device, dtype),
                pooled_prompt_embeds=_each_repeated(prompt.pooled, count).to(device, dtype),
                width=width,
                height=height,
                num_inference_steps=steps,
                guidance_scale=own_guidance if prompt.guidance is None else prompt.guidance,
                generator=generator,
                output_type="latent",
                callback_on_step_end=report_steps(lambda latents: _unpack(latents, height, width), LATENT_FORMAT),
                callback_on_step_end_tensor_inputs=["latents", "noise_pred"],
                **start,
            ).images
    latents: torch.Tensor = (_unpack(packed, height, width) / vae_config["scaling_factor"]) + vae_config["shift_factor"]
    return latents.float().cpu()


@within_memory("decode")
def decode(vae: Component, latents: torch.Tensor) -> torch.Tensor:
    """Decode latents [B, 16, H/8, W/8] in VAE space to pictures [B, H, W, 3] with values 0..1 in float32."""
    from diffusers.image_processor import VaeImageProcessor

    check_latents(vae, latents)
    with use_vae(vae) as module:
        pixels = module.decode(latents.to(STORE.device_of(vae), module.dtype), return_dict=False)[0]
        pictures: torch.Tensor = VaeImageProcessor(vae_scale_factor=16).postprocess(pixels, output_type="pt")
    return pictures.movedim(1, -1).float().cpu()


def _guidance(transformer: Component) -> float | None:
    """Guidance where nobody asks for another: that of the registry LoRA on the transformer before the model's."""
    settings = settings_of(transformer)
    if settings is None or settings.guidance is None:
        return transformer.model_entry.defaults.guidance
    return settings.guidance


def _no_parts() -> dict[str, Any]:
    """Every component of a FLUX pipeline, absent."""
    return dict.fromkeys(("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "transformer"))


def _sampler(picture: Picture | None, mask: torch.Tensor | None) -> Any:
    """The pipeline class of the task, made to hand its noise prediction to the step callback."""
    from diffusers import FluxImg2ImgPipeline, FluxInpaintPipeline, FluxPipeline

    base = FluxPipeline if picture is None else FluxImg2ImgPipeline if mask is None else FluxInpaintPipeline
    return type(base.__name__, (base,), {"_callback_tensor_inputs": [*base._callback_tensor_inputs, "noise_pred"]})


def _draw(
    picture: Picture, vae_config: dict[str, Any], device: torch.device, dtype: torch.dtype, generator: torch.Generator, copies: int
) -> torch.Tensor:
    """Normalised latents of a picture, drawn from its posterior by the run's generator as the pipeline's own VAE call draws them."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    if picture.moments is None:
        latents = picture.mean.to(device, dtype)
    else:
        latents = DiagonalGaussianDistribution(picture.moments.to(device)).sample(generator).to(dtype)
    normalised = (latents - vae_config["shift_factor"]) * vae_config["scaling_factor"]
    return _each_repeated(normalised, copies * normalised.shape[0])


def _each_repeated(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """`count` rows, each given one repeated in turn, as `num_images_per_prompt` orders them."""
    return tensor.repeat_interleave(count // tensor.shape[0], dim=0)


def _unpack(latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
    from diffusers import FluxPipeline

    unpacked: torch.Tensor = FluxPipeline._unpack_latents(latents, height, width, 8)
    return unpacked
