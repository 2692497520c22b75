"""Qwen-Image: picture to latents, denoising (from noise, from a picture, within a mask, by editing, in layers), latents to picture.

Each function runs one stage of diffusers' classic Qwen-Image pipelines with the other components left out, in the pipeline's own
order of operations, so that the stages together equal the whole pipeline bit for bit. Prompts are encoded in `qwen_image_prompt`.

Latents outside these functions are in VAE space: [B, 16, T, H/8, W/8], as `AutoencoderKLQwenImage.encode` gives and `.decode` takes
them; T is 1, or 1 + layers for the pictures of Qwen-Image-Layered, whose first is all layers put together.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..loaders.lora import schedule_changes, settings_of
from ..loaders.sources import read_config
from ..loaders.store import STORE
from ..memory.out_of_memory import within_memory
from .defaults import own_steps, own_value
from .flux import Picture
from .handles import check_transformer
from .qwen_image_checks import check_conditioning, check_frames, check_latents, check_size, check_strength
from .qwen_image_kinds import LAYERS, TEXT_TO_IMAGE, Kind, kind_of, pipeline_class, proportions
from .qwen_image_prompt import Prompt, no_parts
from .step_cache import cached_steps, check_step_cache
from .steps import StepCallback, interruptible, report_steps
from .tiles import use_vae
from .wan_values import denormalise, normalise

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component

LATENT_FORMAT = "wan21"
"""The VAE was made from Wan 2.1's and its latents have the same statistics, so previews of the one fit the other."""

# What the model card of Qwen-Image-Layered calls the pipeline with.
_LAYERS_CALL = {"cfg_normalize": True}


@within_memory("encode")
def encode_image(vae: Component, image: torch.Tensor) -> Picture:
    """Encode pictures [B, H, W, 3] with values 0..1 to latents [B, 16, 1, H/8, W/8] for image to image and inpainting.

    Raises UserError when a side is not a multiple of 16.
    """
    from diffusers.image_processor import VaeImageProcessor

    height, width = image.shape[1:3]
    check_size(width, height)
    with use_vae(vae) as module:
        pixels = VaeImageProcessor(vae_scale_factor=16).preprocess(image[..., :3].movedim(-1, 1), height, width)
        posterior = module.encode(pixels.unsqueeze(2).to(STORE.device_of(vae), module.dtype)).latent_dist
    return Picture(posterior.mean.float().cpu(), posterior.parameters.cpu())


@within_memory("denoise")
def denoise(
    transformer: Component,
    positive: Prompt,
    negative: Prompt | None = None,
    *,
    width: int = 0,
    height: int = 0,
    seed: int,
    batch_size: int = 1,
    steps: int | None = None,
    true_cfg: float | None = None,
    strength: float = 1.0,
    picture: Picture | None = None,
    mask: torch.Tensor | None = None,
    layers: int | None = None,
    scheduler: Component | None = None,
) -> torch.Tensor:
    """Denoise to latents [batch, 16, T, H/8, W/8] in VAE space.

    The registry's kind of the model decides the task: pictures to edit or to take apart come with `positive`. `picture` and `mask`
    [B, H, W] (1 where it is painted anew) are for image to image and inpainting with a model that paints from text. Width and height
    0 are the model's own, or the reference picture's when there is one. `true_cfg`, `steps` and `layers` are the model's when None, the
    first two a registry LoRA's where one is on the transformer; a `true_cfg` above 1 needs `negative`. Each prompt and picture is made
    `batch_size` times.
    """
    import torch

    check_transformer(transformer, "QWEN_IMAGE_TRANSFORMER")
    model = transformer.model_entry
    kind = kind_of(model) or TEXT_TO_IMAGE
    steps = steps or own_steps(transformer)
    scale = _true_cfg(transformer) if true_cfg is None else true_cfg
    check_size(width, height)
    check_strength(strength, has_picture=picture is not None, has_mask=mask is not None)
    guided = _guidance(scale, negative)
    check_conditioning(transformer, kind, [part.embeds for part in (positive, *guided)], positive.kind, len(positive.references))
    if picture is not None:
        if kind is not TEXT_TO_IMAGE:
            raise UserError(f"{model.name} takes its pictures with the prompt (QwenImagePromptEncode): remove the LATENT.")
        picture = replace(picture, mean=_with_frames(picture.mean))
        check_latents(transformer, picture.mean)
        if strength == 0:
            return picture.mean.repeat(batch_size, 1, 1, 1, 1)
    # What QwenImageImg2ImgPipeline.get_timesteps leaves of a schedule.
    left = math.ceil(steps * strength)
    check_step_cache(transformer, left)
    width, height = _size(transformer, kind, positive, picture, width, height)

    vae_config = read_config(transformer.sibling("vae"))
    schedule = STORE.companion(scheduler or transformer.sibling("scheduler"))
    changes = schedule_changes(transformer, scheduler)
    generator = torch.Generator("cpu").manual_seed(seed)
    with STORE.use(transformer) as (module,):
        device, dtype = STORE.device_of(transformer), module.dtype
        start: dict[str, Any] = {"width": width, "height": height}
        if picture is not None:
            start |= {"image": _draw(picture, vae_config, device, dtype, generator, batch_size), "strength": strength}
            if mask is not None:
                start |= {"mask_image": mask[:, None], "masked_image_latents": start["image"]}
            count, copies = max(start["image"].shape[0], positive.embeds.shape[0]), 1
        else:
            # Of one prompt the pipeline makes the copies itself; edit pipelines take no more than one.
            count, copies = positive.embeds.shape[0], batch_size
        frames = 1 if kind is not LAYERS else 1 + (layers or own_value(model, "layers"))
        pipeline = _sampler(kind, picture, mask)(
            **no_parts(kind) | {"transformer": module, "scheduler": type(schedule).from_config(schedule.config, **changes)}
        )
        if kind.most_pictures:
            start |= _references(pipeline, kind, positive, vae_config, device, dtype)
        if kind is LAYERS:
            start |= _LAYERS_CALL | {"layers": frames - 1}
            del start["width"], start["height"]  # the picture's
        pipeline.set_progress_bar_config(disable=True)
        with interruptible(module), cached_steps(module, transformer, left):
            packed = _run(
                pipeline,
                report_steps(lambda latents: _unpack(latents, height, width, frames)[:, :, 0], LATENT_FORMAT),
                **_conditioning(positive, count, device, dtype),
                **{f"negative_{name}": tensor for part in guided for name, tensor in _conditioning(part, count, device, dtype).items()},
                true_cfg_scale=scale,
                num_images_per_prompt=copies,
                num_inference_steps=steps,
                generator=generator,
                **start,
            )
    return denormalise(_unpack(packed, height, width, frames), vae_config).float().cpu()


@within_memory("decode")
def decode(vae: Component, latents: torch.Tensor) -> torch.Tensor:
    """Decode latents [B, 16, T, H/8, W/8] in VAE space to pictures [B, H, W, 3], or layers [B * (T - 1), H, W, 4], values 0..1, float32."""
    from diffusers.image_processor import VaeImageProcessor

    check_latents(vae, latents)
    check_frames(vae, latents)
    latents = _with_frames(latents)
    if latents.shape[2] > 1:
        # The first is the picture that the layers make together, which the pipeline leaves out as well.
        latents = latents[:, :, 1:].movedim(2, 1).flatten(0, 1).unsqueeze(2)
    with use_vae(vae) as module:
        pixels = module.decode(latents.to(STORE.device_of(vae), module.dtype), return_dict=False)[0][:, :, 0]
        pictures: torch.Tensor = VaeImageProcessor(vae_scale_factor=16).postprocess(pixels, output_type="pt")
    return pictures.movedim(1, -1).float().cpu()


class _Finished(Exception):  # noqa: N818 - no error
    """Carries the latents of the last step out of a pipeline that cannot return them."""

    def __init__(self, latents: torch.Tensor) -> None:
        self.latents = latents


def _run(pipeline: Any, report: StepCallback, **call: Any) -> torch.Tensor:
    """The packed latents that a pipeline ends with."""

    def after_step(running: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        result = report(running, step, timestep, tensors)
        if step + 1 == running.num_timesteps:
            # QwenImageLayeredPipeline has no result where it shall not decode (diffusers up to 0.42: UnboundLocalError).
            raise _Finished(tensors["latents"])
        return result

    try:
        pipeline(
            **call,
            output_type="latent",
            callback_on_step_end=after_step,
            callback_on_step_end_tensor_inputs=["latents", "noise_pred"],
        )
    except _Finished as finished:
        return finished.latents
    raise AssertionError("a run has at least one step")


def _true_cfg(transformer: Component) -> float:
    """true_cfg where nobody asks for another: that of the registry LoRA on the transformer before the model's; 1 is none."""
    settings = settings_of(transformer)
    if settings is None or settings.true_cfg is None:
        return transformer.model_entry.defaults.true_cfg or 1.0
    return settings.true_cfg


def _guidance(scale: float, negative: Prompt | None) -> tuple[Prompt, ...]:
    """The negative prompt, where it has a say. Raises UserError where it would be needed and is not there."""
    if scale <= 1:
        return ()
    if negative is None:
        raise UserError(
            f"true_cfg {scale:g} weighs the prompt against a negative one, and none is connected: connect QwenImagePromptEncode's "
            "negative output, or set true_cfg to 1."
        )
    return (negative,)


def _size(transformer: Component, kind: Kind, prompt: Prompt, picture: Picture | None, width: int, height: int) -> tuple[int, int]:
    """Width and height of the result in pixels."""
    if picture is not None:
        return 8 * picture.mean.shape[-1], 8 * picture.mean.shape[-2]
    if prompt.references and (not width or kind is LAYERS):
        # Of several pictures the last one sets the size (QwenImageEditPlusPipeline.__call__).
        return 8 * prompt.references[-1].shape[-1], 8 * prompt.references[-1].shape[-2]
    model = transformer.model_entry
    return width or own_value(model, "width"), height or own_value(model, "height")


def _sampler(kind: Kind, picture: Picture | None, mask: torch.Tensor | None) -> Any:
    """The pipeline class of the task, made to hand its noise prediction to the step callback."""
    from diffusers import QwenImageImg2ImgPipeline, QwenImageInpaintPipeline

    started = QwenImageImg2ImgPipeline if mask is None else QwenImageInpaintPipeline
    base = pipeline_class(kind) if picture is None else started
    return type(base.__name__, (base,), {"_callback_tensor_inputs": [*base._callback_tensor_inputs, "noise_pred"]})


def _conditioning(prompt: Prompt, count: int, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A prompt for `count` pictures. The mask is always given: the older pipelines demand one."""
    import torch

    mask = torch.ones(prompt.embeds.shape[:2], dtype=torch.long) if prompt.mask is None else prompt.mask
    return {
        "prompt_embeds": _expand(prompt.embeds, count).to(device, dtype),
        "prompt_embeds_mask": _expand(mask, count).to(device),
    }


def _expand(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """Repeat one encoded prompt for every picture. Raises UserError when several prompts do not fit the pictures."""
    if tensor.shape[0] == count:
        return tensor
    if tensor.shape[0] == 1:
        return tensor.repeat(count, *[1] * (tensor.ndim - 1))
    raise UserError(f"There are {tensor.shape[0]} prompts for {count} pictures: give one prompt, or one for each picture.")


def _draw(
    picture: Picture, vae_config: dict[str, Any], device: torch.device, dtype: torch.dtype, generator: torch.Generator, copies: int
) -> torch.Tensor:
    """Normalised latents [B, 16, H/8, W/8] of a picture, drawn from its posterior by the run's generator as the pipeline's VAE call
    draws them."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    if picture.moments is None:
        latents = picture.mean.to(device, dtype)
    else:
        latents = DiagonalGaussianDistribution(picture.moments.to(device)).sample(generator).to(dtype)
    return normalise(latents, vae_config)[:, :, 0].repeat(copies, 1, 1, 1)


def _references(
    pipeline: Any, kind: Kind, prompt: Prompt, vae_config: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Make the pipeline take encoded pictures for pictures: it asks an image for its size and the image processor for its pixels."""
    import torch

    mean, std = (torch.tensor(vae_config[name]).view(1, -1, 1, 1, 1).to(device, dtype) for name in ("latents_mean", "latents_std"))
    images, resolution = [], 0
    for reference in prompt.references:
        latents = _with_frames(reference).to(device, dtype)
        ratio, resolution = proportions(kind, 8 * latents.shape[-1], 8 * latents.shape[-2])
        # Not `normalise`: edit pipelines divide where the others multiply with the inverse.
        images.append(_EncodedImage((ratio, 1.0), ((latents - mean) / std)[:, :, 0]))
    pipeline.image_processor = _EncodedImageProcessor()
    if kind is not LAYERS:
        return {"image": images if len(images) > 1 else images[0]}
    # This pipeline brings the pixels to the text encoder's dtype, and describes the picture where there is no prompt.
    pipeline.text_encoder = _Encoder(dtype)
    return {"image": images[0], "resolution": resolution, "prompt": "encoded before"}


class _EncodedImage:
    """Stands for an image whose latents are known: `size` leads the pipeline to the size of the latents."""

    def __init__(self, size: tuple[float, float], latents: torch.Tensor) -> None:
        self.size = size
        self.latents = latents


class _EncodedImageProcessor:
    """Stands for the pipeline's image processor: an encoded image is neither resized nor turned into pixels."""

    def resize(self, image: _EncodedImage, *_: object) -> _EncodedImage:
        return image

    def preprocess(self, image: _EncodedImage, *_: object) -> torch.Tensor:
        return image.latents


class _Encoder:
    """Stands for a text encoder of which only the dtype is asked."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


def _unpack(latents: torch.Tensor, height: int, width: int, frames: int) -> torch.Tensor:
    """Packed latents [B, frames * H/16 * W/16, 64] to [B, 16, frames, H/8, W/8] (QwenImageLayeredPipeline._unpack_latents)."""
    rows, columns = height // 16, width // 16
    patches = latents.view(latents.shape[0], frames, rows, columns, -1, 2, 2)
    return patches.permute(0, 1, 4, 2, 5, 3, 6).reshape(latents.shape[0], frames, -1, 2 * rows, 2 * columns).movedim(2, 1)


def _with_frames(latents: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] (an empty native latent) to [B, C, 1, H, W]."""
    return latents.unsqueeze(2) if latents.ndim == 4 else latents
