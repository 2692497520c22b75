"""The trained small models, through the pack's own loaders and pipelines: pictures and videos for prompts, answers about pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..loaders.component import AUTO_SOURCE, select_component
from ..loaders.lora import Lora, with_lora
from ..loaders.precision import Precision
from .clips import FRAMES
from .shapes import SIDE

if TYPE_CHECKING:
    import torch

    from ..pipelines.flux import Prompt

MODELS = Path(__file__).parent / "models"
"""A models folder: `diffusers/` holds the trained small models under the names of those whose layout they have, `loras/` a LoRA."""
FLUX = "FLUX.1-schnell"
QWEN_VL = "Qwen2.5-VL-7B-Instruct"
WAN = "Wan2.2-TI2V-5B"
LORA = "purple_shapes.safetensors"
"""With it the FLUX draws every shape in purple."""
STEPS = 8
"""Steps of the FLUX, and of the Wan."""


def trained_models() -> frozenset[str]:
    """Ids of the models whose layout has a trained small one."""
    return frozenset(folder.name for folder in (MODELS / "diffusers").iterdir())


def paint(
    prompts: Sequence[str],
    *,
    seed: int = 0,
    steps: int = STEPS,
    picture: torch.Tensor | None = None,
    strength: float = 1.0,
    mask: torch.Tensor | None = None,
    precision: Precision = "auto",
    source: str = AUTO_SOURCE,
    lora: float | None = None,
) -> torch.Tensor:
    """One picture [64, 64, 3] for each prompt, as [B, 64, 64, 3] with values 0..1: from noise, from a picture of each, or within masks.

    `precision` and `source` are the transformer's, `lora` is the strength of `LORA` on it.

    The host of the process must search `MODELS`.
    """
    from ..pipelines import flux

    transformer = select_component(FLUX, "transformer", precision=precision, source=source)
    if lora is not None:
        transformer = with_lora(transformer, Lora(LORA, lora))
    vae = select_component(FLUX, "vae")
    start = None if picture is None else flux.encode_image(vae, picture)
    latents = flux.denoise(
        transformer,
        encode(prompts),
        width=SIDE,
        height=SIDE,
        seed=seed,
        steps=steps,
        strength=strength,
        picture=start,
        mask=mask,
    )
    return flux.decode(vae, latents)


def encode(prompts: Sequence[str]) -> Prompt:
    """The prompts as one batch of conditioning."""
    import torch

    from ..pipelines import flux

    encoders = [select_component(FLUX, role) for role in ("text_encoder", "text_encoder_2")]
    encoded = [flux.encode_prompt(encoders[0], encoders[1], prompt) for prompt in prompts]
    return flux.Prompt(torch.cat([one.embeds for one in encoded]), torch.cat([one.pooled for one in encoded]))


def film(
    prompt: str, *, seed: int = 0, steps: int = STEPS, picture: torch.Tensor | None = None, precision: Precision = "auto"
) -> torch.Tensor:
    """A video [9, 64, 64, 3] with values 0..1 for a prompt: from noise, or from a picture [64, 64, 3] as its first frame.

    `precision` is the transformer's. The host of the process must search `MODELS`.
    """
    from ..pipelines import wan
    from ..pipelines.wan_model import WanTransformer

    transformer = WanTransformer(select_component(WAN, "transformer", precision=precision))
    vae, text_encoder = (select_component(WAN, role) for role in ("vae", "text_encoder"))
    start = None if picture is None else wan.encode_image(vae, picture[None], width=SIDE, height=SIDE, frames=FRAMES)[1]
    text = wan.encode_prompt(text_encoder, prompt)
    latents = wan.denoise(
        transformer, text, text, width=SIDE, height=SIDE, frames=FRAMES, seed=seed, steps=steps, guidance=1.0, start=start
    )
    return wan.decode(vae, latents).decoded()


def ask(picture: torch.Tensor, question: str) -> str:
    """The small Qwen2.5-VL's likeliest answer about a picture [H, W, 3] with values 0..1."""
    from ..pipelines import qwen_vl

    model, tokenizer, processor = (select_component(QWEN_VL, role) for role in ("model", "tokenizer", "processor"))
    return qwen_vl.chat(model, tokenizer, processor, question, pictures=[picture], writing=qwen_vl.Writing(most_tokens=32, temperature=0))
