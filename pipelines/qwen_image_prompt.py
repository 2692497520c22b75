"""Qwen-Image: prompts, and the pictures that go with them, to conditioning."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..loaders.component import Component, select_component
from ..loaders.registry import load_registry
from ..loaders.store import STORE
from ..memory.out_of_memory import within_memory
from .prompt_cache import cached, picture_key
from .qwen_image_checks import AUTO_TEMPLATE, LONGEST_PROMPT, check_encoder, check_resolution, check_vae, choose_kind
from .qwen_image_kinds import EDIT_PLUS, LAYERS, RESOLUTIONS, Kind, pipeline_class, size_for_latents, size_for_prompt
from .qwen_positions import image_positions
from .qwen_vl_head import require_head, require_pictures
from .tiles import use_vae

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """Encoded prompts: Qwen2.5-VL's last hidden states after the template's own words [B, tokens, 3584], padded to the longest.

    `mask` [B, tokens] is 1 where there are tokens, None where every prompt is full length. `references` are the pictures that go
    with the prompt, each [1, 16, 1, H/8, W/8] in VAE space. `kind` names what the prompt was encoded for, None where that is unknown.
    """

    embeds: torch.Tensor
    mask: torch.Tensor | None = None
    references: tuple[torch.Tensor, ...] = ()
    kind: str | None = None


@within_memory("encode")
def encode_prompt(
    encoder: Component,
    prompts: Sequence[str],
    pictures: Sequence[torch.Tensor] = (),
    *,
    template: str = AUTO_TEMPLATE,
    resolution: int = RESOLUTIONS[0],
    describe: bool = True,
) -> Prompt:
    """Encode prompts together with the pictures [1, H, W, C] (values 0..1) that they speak of.

    `template` names a kind of model where the encoder was not chosen for one; `resolution` is for layers alone. An empty prompt for
    layers becomes a description of the picture, which the encoder writes, unless `describe` is off. Raises UserError for what the
    checks refuse.
    """
    check_encoder(encoder)
    check_resolution(resolution)
    kind = choose_kind(encoder, template, len(pictures))
    if kind.most_pictures and len(prompts) != 1:
        raise UserError(f"The template '{kind.name}' takes one prompt at a time, and there are {len(prompts)}.")
    limit = encoder.model_entry.defaults.max_sequence_length or LONGEST_PROMPT
    tokenizer = companion_of(encoder, "tokenizer")
    needs_caption = describe and kind is LAYERS and not prompts[0].strip()
    if needs_caption:
        require_head(encoder)
    # A picture that is taken apart into layers is described by the prompt; the encoder looks at it only to write one.
    looked_at = pictures if kind is not LAYERS or needs_caption else ()
    if looked_at:
        require_pictures(encoder)
    seen = [_resized(to_pil(picture, kind), kind, resolution) for picture in looked_at]
    processor = companion_of(encoder, "processor") if seen else None

    def encode() -> dict[str, torch.Tensor]:
        parts = no_parts(kind) | {"tokenizer": STORE.companion(tokenizer)}
        if processor is not None:
            parts |= {"processor": STORE.companion(processor)}
        with STORE.use(encoder) as (module,), image_positions(module):
            device = STORE.device_of(encoder)
            pipeline = pipeline_class(kind)(**parts | {"text_encoder": module})
            words = list(prompts)
            if needs_caption:
                # In English, as the model card of Qwen-Image-Layered calls it.
                words = [pipeline.get_image_caption(seen[0], use_en_prompt=True, device=device)]
                log.info("the picture was described as: %s", words[0])
            picture = {} if kind is LAYERS or not seen else {"image": seen if kind is EDIT_PLUS else seen[0]}
            embeds, mask = pipeline.encode_prompt(prompt=words, device=device, max_sequence_length=limit, **picture)
        return {"embeds": embeds} | ({} if mask is None or bool(mask.all()) else {"mask": mask})

    request = {"kind": kind.name, "prompts": list(prompts), "limit": limit, "pictures": [picture_key(picture) for picture in seen]}
    request |= {"describe": needs_caption}
    tensors = cached([encoder], [part for part in (tokenizer, processor) if part is not None], request, encode)
    if not kind.most_pictures and tensors["embeds"].shape[1] >= limit:
        log.warning("the prompt is longer than the %d tokens that %s reads; the rest of it is left out", limit, kind.pipeline)
    return Prompt(tensors["embeds"], tensors.get("mask"), kind=kind.name)


def encode_pair(
    encoder: Component,
    vae: Component | None,
    prompts: Sequence[str],
    negative_prompt: str,
    pictures: Sequence[torch.Tensor] = (),
    *,
    template: str = AUTO_TEMPLATE,
    resolution: int = RESOLUTIONS[0],
) -> tuple[Prompt, Prompt]:
    """Encode prompts and what to stay away from, and the pictures for both eyes: the text encoder's and the transformer's.

    The negative prompt has no reference latents: a run takes them from the positive one. Raises UserError as `encode_prompt`, and for
    pictures without a VAE.
    """
    if not prompts:
        raise UserError("There is no prompt: every line is empty.")
    kind = choose_kind(encoder, template, len(pictures))
    if pictures and vae is None:
        raise UserError("Pictures that go with a prompt need the VAE as well: connect QwenImageLoader's vae to QwenImagePromptEncode.")
    settings: dict[str, Any] = {"template": template, "resolution": resolution}
    positive = encode_prompt(encoder, prompts, pictures, **settings)
    negative = encode_prompt(encoder, [negative_prompt] * len(prompts), pictures, **settings, describe=False)
    if vae is not None and pictures:
        positive = replace(positive, references=encode_references(vae, kind, pictures, resolution=resolution))
    return positive, negative


@within_memory("encode")
def encode_references(
    vae: Component, kind: Kind, pictures: Sequence[torch.Tensor], *, resolution: int = RESOLUTIONS[0]
) -> tuple[torch.Tensor, ...]:
    """Pictures [1, H, W, C] (values 0..1), scaled as the kind wants them, to latents [1, 16, 1, H/8, W/8] in VAE space."""
    from diffusers.image_processor import VaeImageProcessor

    check_vae(vae, kind)
    latents = []
    with use_vae(vae) as module:
        for picture in pictures:
            image = to_pil(picture, kind)
            width, height = size_for_latents(kind, *image.size, resolution)
            pixels = VaeImageProcessor(vae_scale_factor=16).preprocess(image, height, width).unsqueeze(2)
            posterior = module.encode(pixels.to(STORE.device_of(vae), module.dtype)).latent_dist
            latents.append(posterior.mode().float().cpu())
    return tuple(latents)


def to_pil(picture: torch.Tensor, kind: Kind) -> Image:
    """One picture [1, H, W, C] with values 0..1 as PIL, opaque for layers where it has no transparency. UserError for a batch."""
    from PIL import Image

    if picture.ndim != 4 or picture.shape[0] != 1:
        raise UserError(f"A picture input takes one picture and got a batch of {picture.shape[0]}: choose one, or connect them one by one.")
    values = (picture[0].float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    image = Image.fromarray(values)
    return image.convert("RGBA" if kind is LAYERS else "RGB")


def companion_of(encoder: Component, role: str) -> Component:
    """The tokenizer or processor that goes with an encoder: its own model's, or that of a model with the same encoder."""
    model = encoder.model_entry
    if role in model.components:
        return encoder.sibling(role)
    for other in load_registry().models.values():
        if role in other.components and encoder.id in other.components.values():
            return select_component(other.id, role)
    raise UserError(f"No model with the {encoder.label} has a {role} in the registry.")


def no_parts(kind: Kind) -> dict[str, Any]:
    """Every component of the kind's pipeline, absent."""
    import inspect

    return dict.fromkeys(name for name in inspect.signature(pipeline_class(kind).__init__).parameters if name != "self")


def _resized(image: Image, kind: Kind, resolution: int) -> Image:
    """Scaled for the text encoder as the pipeline scales it."""
    from diffusers.image_processor import VaeImageProcessor

    width, height = size_for_prompt(kind, *image.size, resolution)
    resized: Image = VaeImageProcessor(vae_scale_factor=16).resize(image, height, width)
    return resized
