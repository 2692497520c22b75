"""What cannot work with FLUX, refused in one sentence before any weights are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..loaders.sources import read_config

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component
    from ..loaders.schema import Model

SIZE_MULTIPLE = 16
"""The VAE shrinks by 8 and the transformer takes 2x2 patches (FluxPipeline.check_inputs)."""


def check_size(width: int, height: int) -> None:
    """Refuse sides that do not divide, naming the nearest that do."""
    for name, side in (("width", width), ("height", height)):
        if side <= 0 or side % SIZE_MULTIPLE:
            below = max(side // SIZE_MULTIPLE, 0) * SIZE_MULTIPLE
            nearest = f"{below} or {below + SIZE_MULTIPLE}" if below else f"{SIZE_MULTIPLE}"
            raise UserError(f"The {name} {side} is not a multiple of {SIZE_MULTIPLE}, which FLUX needs: use {nearest}.")


def check_denoise(strength: float, *, has_picture: bool, has_mask: bool) -> None:
    """Refuse a strength outside 0..1, and a mask or a partial run that has no picture to work on."""
    if not 0 <= strength <= 1:
        raise UserError(f"denoise {strength} is outside 0..1: 1 paints from pure noise, 0 leaves the picture as it is.")
    if has_picture:
        return
    if has_mask:
        raise UserError("A mask needs the picture it belongs to: connect FluxEncode's LATENT as well, or remove the mask.")
    if strength < 1:
        raise UserError(f"denoise {strength} needs a picture to start from: connect FluxEncode's LATENT, or set denoise to 1.")


def check_guidance(model: Model, guidance: float | None) -> None:
    """Refuse guidance where the model has no input for it."""
    if guidance and not model.supports_guidance:
        raise UserError(
            f"{model.name} takes no guidance (it was distilled without): set guidance to -1, or use a model that does, "
            "such as FLUX.1 [dev]."
        )


def longest_prompt(model: Model) -> int:
    """Tokens that the model takes; 512 is FluxPipeline's own limit."""
    return model.defaults.max_sequence_length or 512


def check_text_encoders(clip_l: Component, t5_xxl: Component) -> None:
    """Refuse encoders in each other's place."""
    for component, socket in ((clip_l, "CLIP_L"), (t5_xxl, "T5_XXL")):
        if component.entry.socket != socket:
            raise UserError(f"The {component.label} is a {component.entry.socket}, where a {socket} belongs.")


def check_conditioning(transformer: Component, embeds: torch.Tensor, pooled: torch.Tensor | None) -> None:
    """Refuse conditioning that other text encoders made, or that is longer than the model takes."""
    config = read_config(transformer)
    wanted, pooled_wanted = config["joint_attention_dim"], config["pooled_projection_dim"]
    if pooled is None or pooled.shape[-1] != pooled_wanted or embeds.shape[-1] != wanted:
        given = f"{embeds.shape[-1]} and {'no' if pooled is None else pooled.shape[-1]}"
        raise UserError(
            f"This conditioning was not made for FLUX: it is {given} numbers wide where {wanted} (T5-XXL) and {pooled_wanted} (CLIP-L) "
            "are needed. Encode the prompt with FluxPromptEncode."
        )
    limit = longest_prompt(transformer.model_entry)
    if embeds.shape[-2] > limit:
        raise UserError(
            f"The prompt was encoded to {embeds.shape[-2]} tokens, and {transformer.model_entry.name} takes {limit}: "
            "encode it with the text encoders of the same loader."
        )


def check_prompt_count(prompts: int, pictures: int) -> None:
    """Refuse several prompts that cannot be shared out among the pictures."""
    if pictures % prompts:
        raise UserError(f"There are {prompts} prompts for {pictures} pictures: give one prompt, or one for each picture.")


def check_latents(component: Component, latents: torch.Tensor) -> None:
    """Refuse latents of another architecture's VAE."""
    channels = read_config(component.sibling("vae"))["latent_channels"]
    if latents.ndim != 4 or latents.shape[1] != channels:
        raise UserError(
            f"These latents have the shape {list(latents.shape)}; FLUX latents are [batch, {channels}, height / 8, width / 8]. "
            "Another model's VAE made them: encode the picture with FluxEncode."
        )
