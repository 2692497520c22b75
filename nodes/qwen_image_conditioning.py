"""ComfyUI's CONDITIONING to and from an encoded Qwen-Image prompt, with the keys of the native Qwen-Image encoders."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..pipelines.qwen_image_prompt import Prompt

Conditioning = list[list[Any]]

TEMPLATE = "qwen_image_template"
"""Our own key: the kind of model that the prompt was encoded for."""


def to_conditioning(prompt: Prompt) -> Conditioning:
    """As the native encoders give it: the mask only where there is padding, the pictures as `reference_latents`."""
    extras: dict[str, Any] = {"pooled_output": None, TEMPLATE: prompt.kind}
    if prompt.mask is not None:
        extras["attention_mask"] = prompt.mask
    if prompt.references:
        extras["reference_latents"] = list(prompt.references)
    return [[prompt.embeds, extras]]


def from_conditioning(conditioning: Conditioning) -> Prompt:
    """Reads ours or native conditioning. Raises UserError for several entries, which the pipelines cannot blend."""
    if len(conditioning) != 1:
        raise UserError(
            f"QwenImageDenoise takes one encoded prompt and got {len(conditioning)} (combined conditioning): "
            "connect one QwenImagePromptEncode."
        )
    embeds, extras = conditioning[0]
    return Prompt(embeds, extras.get("attention_mask"), tuple(extras.get("reference_latents") or ()), extras.get(TEMPLATE))
