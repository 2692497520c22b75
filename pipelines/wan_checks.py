"""What cannot work with Wan, refused in one sentence before any weights are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..loaders.sources import read_config
from .wan_model import spatial_factor, vae_for

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component
    from .wan_model import Layout, WanTransformer
    from .wan_values import FirstImage, Latents

FRAME_STEP = 4
"""Every Wan VAE makes one latent frame of the first frame, and one of every four after it."""
SIZE_STEP = 16
"""What width and height must at least be multiples of: the 2.1 VAE shrinks by 8, the transformer takes 2x2 patches."""
LONGEST_PROMPT = 512
"""Tokens (WanPipeline.__call__, and `text_len` of Wan's own configs)."""


def check_frames(frames: int) -> None:
    """Refuse a number of frames that is not 4k+1, naming the two nearest that are."""
    if frames < 1 or (frames - 1) % FRAME_STEP:
        below = (frames - 1) // FRAME_STEP * FRAME_STEP + 1
        nearest = f"{below} or {below + FRAME_STEP}" if below >= 1 else "1 or 5"
        raise UserError(f"Wan cannot make {frames} frames: the number must be 4k+1. The nearest are {nearest}.")


def check_size(width: int, height: int, multiple: int = SIZE_STEP) -> None:
    """Refuse sides that do not divide, naming the nearest that do."""
    for name, side in (("width", width), ("height", height)):
        if side <= 0 or side % multiple:
            below = max(side, 0) // multiple * multiple
            nearest = f"{below} or {below + multiple}" if below else f"{multiple}"
            raise UserError(f"The {name} {side} is not a multiple of {multiple}, which this Wan model needs: use {nearest}.")


def check_strength(strength: float) -> None:
    """Refuse a strength outside 0..1."""
    if not 0 <= strength <= 1:
        raise UserError(f"denoise {strength} is outside 0..1: 1 starts from pure noise, 0 leaves the video as it is.")


def check_part(start: int, end: int | None, total: int | None = None) -> None:
    """Refuse a part of the schedule that is empty or not in it."""
    if end is not None and start >= end:
        raise UserError(f"start_step {start} leaves nothing to do before end_step {end}: the end must come after the start.")
    if total is not None and not 0 <= start < total:
        raise UserError(f"start_step {start} is not within this run, which has the steps 0 to {total - 1}.")


def check_text_encoder(text_encoder: Component) -> None:
    """Refuse another text encoder than UMT5-XXL."""
    if text_encoder.entry.socket != "UMT5_XXL":
        raise UserError(f"The {text_encoder.label} is a {text_encoder.entry.socket}, where a UMT5_XXL belongs: connect WanLoader's.")


def check_conditioning(wan: WanTransformer, layout: Layout, embeds: torch.Tensor) -> None:
    """Refuse conditioning that another text encoder made, or that is longer than the model takes."""
    if embeds.ndim != 3 or embeds.shape[-1] != layout.text_width:
        raise UserError(
            f"This conditioning was not made for Wan: it is {embeds.shape[-1]} numbers wide where UMT5-XXL's {layout.text_width} are "
            "needed. Encode the prompt with WanPromptEncode."
        )
    limit = wan.model_entry.defaults.max_sequence_length or LONGEST_PROMPT
    if embeds.shape[-2] > limit:
        raise UserError(f"The prompt was encoded to {embeds.shape[-2]} tokens, and Wan takes {limit}: encode it with WanPromptEncode.")


def check_vae(vae: Component, channels: int, ndim: int = 5) -> None:
    """Refuse latents that another VAE made, naming the VAE that did."""
    own = read_config(vae)["z_dim"]
    if ndim != 5:
        raise UserError(
            "These are latents of a picture, not of a Wan video [batch, channels, frames, height, width]: connect WanDenoise's."
        )
    if channels != own:
        right = vae_for(channels)
        remedy = f"connect {right} (WanVAELoader, or the vae of the loader that made them)" if right else "no Wan VAE made them"
        raise UserError(f"These latents have {channels} channels and {vae.id} takes {own}: {remedy}.")


def check_latents(wan: WanTransformer, layout: Layout, latents: Latents) -> None:
    """Refuse latents that the transformer cannot take: of another VAE, or with a mask that it was not trained for."""
    samples = latents.samples
    if samples.ndim != 5 or samples.shape[1] != layout.latent_channels:
        made_by = vae_for(samples.shape[1]) if samples.ndim == 5 else None
        raise UserError(
            f"{wan.model_entry.name} takes latents of {wan.model_entry.components['vae']}, "
            f"[batch, {layout.latent_channels}, frames, height, width]; these are {list(samples.shape)}"
            + (f", made by {made_by}: encode with {wan.model_entry.components['vae']}." if made_by else ": encode with WanEncode.")
        )
    if any(side % layout.patch for side in samples.shape[-2:]):
        check_size(samples.shape[-1] * layout.spatial, samples.shape[-2] * layout.spatial, layout.size_multiple)
    if latents.mask is None:
        return
    if not layout.expand_timesteps:
        raise UserError(
            f"{wan.model_entry.name} cannot keep masked parts of a latent: only TI2V-5B can. Take the noise mask off the latent"
            + (", and give the image to WanImageEncode with this model's VAE." if layout.reads_image else ".")
        )
    expected = [1, *samples.shape[-3:]]
    if list(latents.mask.shape[1:]) != expected:
        raise UserError(f"The latent's noise mask has the shape {list(latents.mask.shape)}; it must be {[1, *expected]}.")


def check_image(wan: WanTransformer, layout: Layout, image: FirstImage | None) -> None:
    """Refuse a model from image without one, one from text with one, and what the encoded image lacks."""
    name = wan.model_entry.name
    if not layout.reads_image:
        if image is not None and image.latents is not None:
            other = "connect WanImageEncode's latent made with this model's own VAE" if layout.expand_timesteps else "choose an I2V model"
            raise UserError(f"{name} does not read an encoded image from the conditioning: {other}.")
        return
    if image is None or image.latents is None or image.given is None:
        raise UserError(f"{name} makes videos from an image: put WanImageEncode between the prompt and WanDenoise.")
    if image.latents.ndim != 5 or image.latents.shape[1] != layout.latent_channels:
        raise UserError(
            f"The image was encoded with {vae_for(image.latents.shape[1]) or 'another VAE'}, and {name} takes "
            f"{wan.model_entry.components['vae']}: connect that to WanImageEncode."
        )
    if image.latents.shape[1] + image.given.shape[1] + layout.latent_channels != layout.in_channels:
        raise UserError(f"The image's mask has {image.given.shape[1]} channels, which {name} does not take: use WanImageEncode.")
    if layout.clip_width is None:
        return
    if image.clip is None:
        raise UserError(f"{name} also sees the image through CLIP: connect WanLoader's image_encoder to WanImageEncode.")
    if image.clip.shape[-1] != layout.clip_width:
        raise UserError(f"The image was not encoded with CLIP ViT-H, which {name} needs: connect WanLoader's image_encoder.")
    if layout.two_images != image.has_last:
        wanted = "a first and a last image" if layout.two_images else "a first image alone"
        remedy = "connect end_image" if layout.two_images else "disconnect end_image, or choose Wan 2.1 FLF2V or Wan 2.2 I2V-A14B"
        raise UserError(f"{name} was trained on {wanted}: {remedy} in WanImageEncode.")


def check_guidance(guidance: float | None, name: str) -> None:
    """Refuse a negative guidance."""
    if guidance is not None and guidance < 0:
        raise UserError(f"{name} {guidance} is not usable: give 0 or more, or -1 for the model's own value.")


def check_clip(frames: int, width: int, height: int, vae: Component) -> None:
    """Refuse a clip that this VAE cannot encode whole."""
    check_frames(frames)
    check_size(width, height, 2 * spatial_factor(read_config(vae)))
