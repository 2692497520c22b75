"""ComfyUI's CONDITIONING, `[[embeds, {"pooled_output": ..., "guidance": ...}]]`, to and from an encoded FLUX prompt."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..pipelines.flux import Prompt

Conditioning = list[list[Any]]


def to_conditioning(prompt: Prompt) -> Conditioning:
    """As native FLUX encoders give it; guidance is left out where the model's default is meant, so that each model fills in its own."""
    extras = {"pooled_output": prompt.pooled}
    return [[prompt.embeds, extras if prompt.guidance is None else extras | {"guidance": prompt.guidance}]]


def from_conditioning(conditioning: Conditioning) -> Prompt:
    """Reads ours or native conditioning. Raises UserError for several entries, which FLUX pipelines cannot blend."""
    if len(conditioning) != 1:
        raise UserError(
            f"FluxDenoise takes one encoded prompt and got {len(conditioning)} (combined conditioning): connect one FluxPromptEncode."
        )
    embeds, extras = conditioning[0]
    return Prompt(embeds, extras.get("pooled_output"), extras.get("guidance"))
