"""What cannot work with Qwen-Image, refused in one sentence before any weights are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UserError
from ..loaders.registry import load_registry
from ..loaders.sources import read_config
from .qwen_image_kinds import KINDS, LAYERS, RESOLUTIONS, TEXT_TO_IMAGE, Kind, kind_of

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component

SIZE_MULTIPLE = 16
"""The VAE shrinks by 8 and the transformer takes 2x2 patches (QwenImagePipeline.check_inputs)."""
LONGEST_PROMPT = 512
"""Tokens of the prompt that a run reads (QwenImagePipeline.__call__)."""
AUTO_TEMPLATE = "auto"


def check_size(width: int, height: int) -> None:
    """Refuse sides that do not divide, naming the nearest that do; 0 stands for the model's own size."""
    for name, side in (("width", width), ("height", height)):
        if side < 0 or side % SIZE_MULTIPLE:
            below = max(side // SIZE_MULTIPLE, 0) * SIZE_MULTIPLE
            nearest = f"{below} or {below + SIZE_MULTIPLE}" if below else f"{SIZE_MULTIPLE}"
            raise UserError(f"The {name} {side} is not a multiple of {SIZE_MULTIPLE}, which Qwen-Image needs: use {nearest}.")
    if bool(width) != bool(height):
        raise UserError("Give both width and height, or set both to 0 for the model's own size.")


def check_strength(strength: float, *, has_picture: bool, has_mask: bool) -> None:
    """Refuse a strength outside 0..1, and a mask or a partial run that has no picture to work on."""
    if not 0 <= strength <= 1:
        raise UserError(f"denoise {strength} is outside 0..1: 1 paints from pure noise, 0 leaves the picture as it is.")
    if has_picture:
        return
    if has_mask:
        raise UserError("A mask needs the picture it belongs to: connect QwenImageEncode's LATENT as well, or remove the mask.")
    if strength < 1:
        raise UserError(f"denoise {strength} needs a picture to start from: connect QwenImageEncode's LATENT, or set denoise to 1.")


def choose_kind(encoder: Component, template: str, pictures: int) -> Kind:
    """The kind of model that a prompt is encoded for: by `template`, or by the model that the encoder was chosen for.

    Raises UserError where neither says it, and where the pictures do not suit it.
    """
    kind = kind_of(encoder.model_entry) if template == AUTO_TEMPLATE else KINDS.get(template)
    if kind is None and template != AUTO_TEMPLATE:
        raise UserError(f"There is no template '{template}'; choose one of {', '.join([AUTO_TEMPLATE, *KINDS])}.")
    if kind is None:
        if pictures:
            raise UserError(
                f"{encoder.model_entry.name} encodes for several models that edit pictures, each in its own words: set template to "
                "'edit' for Qwen-Image-Edit, to 'edit plus' for 2509 and 2511, or to 'layers' for Qwen-Image-Layered."
            )
        kind = TEXT_TO_IMAGE
    if pictures > kind.most_pictures:
        allowed = f"{kind.most_pictures}" if kind.most_pictures else "none: a picture to start from goes through QwenImageEncode"
        raise UserError(f"The template '{kind.name}' was given {pictures} pictures and takes {allowed}.")
    if pictures == 0 and kind.most_pictures:
        raise UserError(f"The template '{kind.name}' is for working on a picture: connect one to QwenImagePromptEncode.")
    return kind


def check_encoder(encoder: Component) -> None:
    """Refuse what Qwen-Image was not trained with: another architecture's encoder, another generation or size of Qwen-VL."""
    entry = encoder.entry
    if entry.socket != "QWEN_VL":
        raise UserError(f"The {encoder.label} is a {entry.socket}, where Qwen-Image needs a QWEN_VL.")
    models = load_registry().models_of("qwen_image")
    if not any(encoder.id in model.components.values() for model in models):
        raise UserError(
            f"Qwen-Image was trained with Qwen2.5-VL-7B and cannot read what {encoder.model_entry.name} encodes: load that one."
        )


def check_vae(vae: Component, kind: Kind) -> None:
    """Refuse the VAE of the other kind: layers are pictures with transparency, which has a VAE of its own."""
    wanted, given = (4 if kind is LAYERS else 3), picture_channels(vae)
    if given != wanted:
        raise UserError(
            f"The {vae.label} reads pictures with {given} channels, and the template '{kind.name}' needs {wanted}: "
            "connect the VAE of the model that will paint."
        )


def check_resolution(resolution: int) -> None:
    """Refuse a resolution that Qwen-Image-Layered does not have."""
    if resolution not in RESOLUTIONS:
        raise UserError(f"Qwen-Image-Layered works at a resolution of {' or '.join(map(str, RESOLUTIONS))}, not {resolution}.")


def check_conditioning(transformer: Component, kind: Kind, embeds: Sequence[torch.Tensor], made_for: str | None, references: int) -> None:
    """Refuse conditioning of other encoders, of another template, and without or with too many pictures."""
    wanted = read_config(transformer)["joint_attention_dim"]
    name = transformer.model_entry.name
    for tensor in embeds:
        if tensor.ndim != 3 or tensor.shape[-1] != wanted:
            raise UserError(
                f"This conditioning was not made for Qwen-Image: it is {tensor.shape[-1]} numbers wide where {wanted} are needed. "
                "Encode the prompt with QwenImagePromptEncode and Qwen2.5-VL-7B."
            )
    if made_for is not None and made_for != kind.name:
        raise UserError(
            f"The prompt was encoded with the template '{made_for}', and {name} was trained with '{kind.name}': "
            "connect QwenImagePromptEncode to the encoder of the same loader, or set its template."
        )
    if kind.most_pictures and not references:
        raise UserError(f"{name} works on a picture: connect image_1 and vae to QwenImagePromptEncode.")
    if references > kind.most_pictures:
        takes = kind.most_pictures or "none"
        raise UserError(f"The conditioning carries {references} reference pictures, and {name} takes {takes}.")


def check_latents(component: Component, latents: torch.Tensor) -> None:
    """Refuse latents of another architecture's VAE."""
    channels = read_config(component.sibling("vae"))["z_dim"]
    if latents.ndim not in (4, 5) or latents.shape[1] != channels:
        raise UserError(
            f"These latents have the shape {list(latents.shape)}; Qwen-Image latents are [batch, {channels}, 1, height / 8, width / 8]. "
            "Another model's VAE made them: encode the picture with QwenImageEncode."
        )


def check_frames(vae: Component, latents: torch.Tensor) -> None:
    """Refuse layers for a VAE that knows no transparency."""
    if latents.ndim == 5 and latents.shape[2] > 1 and picture_channels(vae) != 4:
        raise UserError(
            f"These latents hold {latents.shape[2] - 1} layers, and the {vae.label} knows no transparency: "
            "connect the VAE of Qwen-Image-Layered."
        )


def picture_channels(vae: Component) -> int:
    """3 for pictures, 4 for pictures with transparency."""
    return int(read_config(vae).get("input_channels", 3))
