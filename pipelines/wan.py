"""Wan 2.1 and 2.2: prompt, image and video to what the transformer takes, and denoising.

The stages together equal diffusers' Wan pipelines bit for bit. Decoding, which streams, is in `wan_decoding`.
Latents outside these functions are in VAE space: [B, C, T, H, W], as `AutoencoderKLWan.encode` gives and `.decode` takes them.
"""

from __future__ import annotations

import html
import importlib.util
import re
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..loaders.lora import schedule_changes, settings_of
from ..loaders.sources import read_config
from ..loaders.store import STORE
from ..memory.out_of_memory import within_memory
from . import wan_checks as checks
from .defaults import own_steps
from .handles import check_transformer
from .prompt_cache import cached
from .wan_decoding import decode
from .wan_images import encode, fit, see, to_pixels
from .wan_model import WanTransformer, layout_of, spatial_factor, temporal_factor
from .wan_sampling import Conditions, Run, add_noise, advance, new_schedule, pause, resume
from .wan_values import FirstImage, Latents, denormalise, normalise

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component
    from .wan_model import Layout

__all__ = ["decode", "denoise", "encode_image", "encode_prompt", "encode_video"]


@within_memory("encode")
def encode_prompt(text_encoder: Component, prompt: str) -> torch.Tensor:
    """UMT5's states of a prompt, [1, 512, 4096]; those of the padding are zero, as in native encoders."""
    import torch

    checks.check_text_encoder(text_encoder)
    limit = text_encoder.model_entry.defaults.max_sequence_length or checks.LONGEST_PROMPT
    tokenizer, text = text_encoder.tokenizer(), _clean(prompt)

    def encode() -> dict[str, torch.Tensor]:
        device = STORE.device_of(text_encoder)
        tokens = STORE.companion(tokenizer)(
            [text], padding="max_length", max_length=limit, truncation=True, return_attention_mask=True, return_tensors="pt"
        )
        with STORE.use(text_encoder) as (module,), torch.no_grad():
            states = module(tokens.input_ids.to(device), tokens.attention_mask.to(device)).last_hidden_state.cpu()
        states[0, int(tokens.attention_mask.sum()) :] = 0
        return {"states": states}

    return cached([text_encoder], [tokenizer], {"kind": "wan", "prompt": text, "limit": limit}, encode)["states"]


def _clean(text: str) -> str:
    """As the Wan pipelines clean a prompt; releases of diffusers before ftfy became optional fail without it."""
    if importlib.util.find_spec("ftfy") is not None:
        import ftfy  # type: ignore[import-not-found, unused-ignore]

        text = ftfy.fix_text(text)
    text = html.unescape(html.unescape(text)).strip()
    return re.sub(r"\s+", " ", text).strip()


@within_memory("encode")
def encode_image(
    vae: Component,
    image: torch.Tensor,
    *,
    width: int,
    height: int,
    frames: int,
    last: torch.Tensor | None = None,
    image_encoder: Component | None = None,
) -> tuple[FirstImage, Latents]:
    """Encode a first image (and a last one) [1, H, W, 3] with values 0..1 for a clip of this size.

    Both results belong to one clip: models of 16 latent channels read the image beside the noise (the first result), TI2V-5B starts
    from latents whose first frame it keeps (the second). Images of another size are cropped in the middle and scaled.
    """
    import torch

    config = read_config(vae)
    spatial, temporal = spatial_factor(config), temporal_factor(config)
    checks.check_clip(frames, width, height, vae)
    keeps_frame = config["z_dim"] != 16
    if last is not None and keeps_frame:
        raise UserError("Wan 2.2 TI2V-5B takes a first image only: disconnect end_image, or choose Wan 2.2 I2V-A14B or 2.1 FLF2V.")
    if last is not None and frames == 1:
        raise UserError("A first and a last image need a clip of at least 5 frames between them: raise frames.")
    pictures = [fit(picture, width, height) for picture in (image, last) if picture is not None]
    shape = (1, config["z_dim"], (frames - 1) // temporal + 1, height // spatial, width // spatial)

    first = to_pixels(pictures[0])[:, :, None]
    if keeps_frame:
        samples = torch.zeros(shape)
        samples[:, :, :1] = encode(vae, first)
        mask = torch.ones(1, 1, *shape[2:])
        mask[:, :, :1] = 0
        return FirstImage(None, None), Latents(samples, mask)

    parts = [first, first.new_zeros(1, 3, frames - len(pictures), height, width)]
    given = torch.zeros(1, frames, *shape[3:])
    given[:, 0] = 1
    if last is not None:
        parts.append(to_pixels(pictures[1])[:, :, None])
        given[:, -1] = 1
    # The first frame fills a latent frame by itself.
    given = torch.cat([given[:, :1].repeat(1, temporal - 1, 1, 1), given], dim=1)
    given = given.view(1, shape[2], temporal, *shape[3:]).transpose(1, 2)
    clip = None if image_encoder is None else see(image_encoder, pictures)
    return FirstImage(encode(vae, torch.cat(parts, dim=2)), given, clip, last is not None), Latents(torch.zeros(shape))


@within_memory("encode")
def encode_video(vae: Component, images: torch.Tensor) -> Latents:
    """Encode a clip [T, H, W, 3] with values 0..1. Raises UserError for other sizes and lengths than Wan makes."""
    checks.check_clip(images.shape[0], images.shape[2], images.shape[1], vae)
    return Latents(encode(vae, to_pixels(images).movedim(0, 1)[None]))


@within_memory("denoise")
def denoise(
    wan: WanTransformer,
    prompt: torch.Tensor,
    negative: torch.Tensor,
    *,
    width: int,
    height: int,
    frames: int,
    seed: int,
    steps: int | None = None,
    guidance: float | None = None,
    guidance_2: float | None = None,
    strength: float = 1.0,
    image: FirstImage | None = None,
    start: Latents | None = None,
    scheduler: Component | None = None,
    shift: float | None = None,
    start_step: int = 0,
    end_step: int | None = None,
) -> Latents:
    """Denoise to latents in VAE space: from noise, from an image, from a video, or on from where another run stopped.

    With `image` or `start`, the size is theirs. `start` is a video to change where it holds anything but zeros; `strength` is how much
    of the schedule runs then. `start_step` and `end_step` choose a part of the run; what ends before the last step leaves an
    `unfinished` run, from which a call with its step as `start_step` continues. `steps`, `guidance` and `shift` are the model's when None,
    or those of the registry LoRA on the transformer.
    Guidance of 1 or less leaves out the negative prompt, for both experts.
    """
    import torch

    check_transformer(wan, "WAN_TRANSFORMER")
    layout = layout_of(wan)
    own, own_2 = _guidance(wan)
    checks.check_strength(strength)
    checks.check_part(start_step, end_step)
    checks.check_guidance(guidance, "guidance")
    checks.check_guidance(guidance_2, "guidance_2")
    for embeds in (prompt, negative):
        checks.check_conditioning(wan, layout, embeds)
    checks.check_image(wan, layout, image)
    shape = _shape(wan, layout, (width, height, frames), image, start)
    if strength == 0 and start is not None:
        return start

    device = STORE.device_of(wan.transformer)
    schedule, timesteps = new_schedule(
        STORE.companion(scheduler or wan.transformer.sibling("scheduler")),
        steps or own_steps(*wan.components),
        strength,
        shift,
        device,
        schedule_changes(wan.transformer, scheduler),
    )
    checks.check_part(start_step, end_step, len(timesteps))
    if start is not None and start.unfinished is not None:
        run = _continued(start, timesteps, start_step, device)
    elif start_step:
        raise UserError(
            f"start_step {start_step} continues a run, and this latent carries none: connect the LATENT of the WanDenoise that "
            "ended there directly, or set start_step to 0."
        )
    else:
        run = Run(*_first_latents(layout, shape, start, strength, seed, schedule, timesteps), timesteps=timesteps)
        if start is not None and start.mask is not None:
            run.kept = (normalise(start.samples.to(device, torch.float32), layout.vae_config), start.mask.to(device, torch.float32))
    scale = own if guidance is None else guidance
    if guidance is not None or own_2 is None:
        own_2 = scale
    conditions = Conditions(
        prompt,
        negative,
        scale,
        own_2 if guidance_2 is None else guidance_2,
        _beside(image, layout),
        None if image is None or image.clip is None or layout.clip_width is None else _as_clip_batch(image.clip, layout),
    )
    advance(run, wan, layout, conditions, min(end_step or len(timesteps), len(timesteps)))
    normalised = run.latents.cpu()
    samples = denormalise(normalised, layout.vae_config)
    return Latents(samples, normalised=normalised, unfinished=None if run.finished else pause(run))


def _guidance(wan: WanTransformer) -> tuple[float, float | None]:
    """Both experts' guidance where nobody asks for another: that of the registry LoRA before the model's; 1 is none."""
    settings, defaults = settings_of(*wan.components), wan.model_entry.defaults
    if settings is not None and settings.guidance is not None:
        return settings.guidance, settings.guidance
    return 1.0 if defaults.guidance is None else defaults.guidance, defaults.guidance_2


def _shape(
    wan: WanTransformer, layout: Layout, size: tuple[int, int, int], image: FirstImage | None, start: Latents | None
) -> tuple[int, ...]:
    """The shape of the latents. Raises UserError when the inputs disagree or the model cannot make it."""
    if start is not None:
        checks.check_latents(wan, layout, start)
    given = None if image is None or image.latents is None else image.latents
    if given is not None and start is not None and given.shape[2:] != start.samples.shape[2:]:
        raise UserError(
            f"The encoded image is for latents of {list(given.shape[2:])} (frames, height, width) and the latent has "
            f"{list(start.samples.shape[2:])}: connect WanImageEncode's own latent."
        )
    if start is not None:
        return tuple(start.samples.shape)
    if given is not None:
        return (given.shape[0], layout.latent_channels, *given.shape[2:])
    width, height, frames = size
    checks.check_frames(frames)
    checks.check_size(width, height, layout.size_multiple)
    return (1, layout.latent_channels, (frames - 1) // layout.temporal + 1, height // layout.spatial, width // layout.spatial)


def _first_latents(
    layout: Layout, shape: tuple[int, ...], start: Latents | None, strength: float, seed: int, schedule: Any, timesteps: torch.Tensor
) -> tuple[torch.Tensor, Any]:
    """The normalised latents that a run begins with, and its scheduler: noise, or a video at the first timestep's noise."""
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    device = timesteps.device
    noise = randn_tensor(shape, generator=torch.Generator("cpu").manual_seed(seed), device=device, dtype=torch.float32)
    # Latents of zeros are how ComfyUI says the size alone; with a mask, the samples are what is kept.
    has_video = start is not None and bool(start.samples.any()) and (start.mask is None or strength < 1)
    if start is None or not has_video:
        if strength < 1:
            raise UserError(f"denoise {strength} needs a video to start from: connect WanEncode's latent, or set denoise to 1.")
        return noise, schedule
    video = normalise(start.samples.to(device, torch.float32), layout.vae_config)
    return add_noise(schedule, video, noise, timesteps[:1]), schedule


def _continued(start: Latents, timesteps: torch.Tensor, start_step: int, device: torch.device) -> Run:
    """The run that a latent carries. Raises UserError where the settings are not those of its beginning."""
    import torch

    unfinished = start.unfinished
    assert unfinished is not None
    if start_step != unfinished.step:
        raise UserError(f"This latent's run has done {unfinished.step} steps: set start_step to {unfinished.step} to continue it.")
    if not torch.equal(unfinished.timesteps, timesteps.cpu()):
        raise UserError(
            f"This latent's run has a schedule of {len(unfinished.timesteps)} steps that these settings do not give: use the same model, "
            "steps, shift and denoise in every part of a run."
        )
    return resume(unfinished, device)


def _beside(image: FirstImage | None, layout: Layout) -> torch.Tensor | None:
    """What the transformer reads beside the latents: the mask, then the normalised latents."""
    import torch

    if image is None or image.latents is None or image.given is None:
        return None
    latents = image.latents.float()
    return torch.cat([image.given.to(latents), normalise(latents, layout.vae_config)], dim=1)


def _as_clip_batch(clip: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Two images' states, joined along the tokens, one below the other as the transformer takes them."""
    return clip.reshape(-1, clip.shape[1] // 2, clip.shape[2]) if layout.two_images else clip
