"""FLUX.1 in ComfyUI: load, encode, denoise, decode."""

from __future__ import annotations

from typing import Any

from ..loaders.component import AUTO_SOURCE, select_component
from ..loaders.registry import load_registry
from ..pipelines import flux
from ..pipelines.flux_checks import SIZE_MULTIPLE, check_denoise, check_size
from . import inputs
from .conditioning import from_conditioning, to_conditioning
from .latents import from_latent, mask_of, to_latent
from .loader import Loader
from .refusal import refusal
from .sockets import CLIP_L, FLUX_TRANSFORMER, FLUX_VAE, SCHEDULER, T5_XXL

CATEGORY = "Advanced Models/FLUX"


class FluxLoader(Loader):
    """Names the parts of a FLUX.1 model; nothing is read before a node computes with a part."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Chooses a FLUX.1 model and hands out its parts separately. Nothing is loaded yet: each part is read when a node first "
        "computes with it, and shared with every other node that uses the same part."
    )
    SEARCH_ALIASES = ["flux", "flux checkpoint", "load diffusion model", "dual clip loader"]
    RETURN_TYPES = (FLUX_TRANSFORMER, CLIP_L, T5_XXL, FLUX_VAE, SCHEDULER)
    RETURN_NAMES = ("transformer", "clip_l", "t5_xxl", "vae", "scheduler")
    OUTPUT_TOOLTIPS = (
        "Paints the picture: to FluxDenoise.",
        "The short text encoder, which sets the overall style: to FluxPromptEncode.",
        "The long text encoder, which follows the prompt's words: to FluxPromptEncode.",
        "Turns pictures into latents and back: to FluxEncode and FluxDecode.",
        "The noise schedule. FluxDenoise uses this model's own unless another one is connected.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        models = [model.id for model in load_registry().models_of("flux", task="text_to_image")]
        return {
            "required": {
                "model": (
                    models,
                    {
                        "default": "FLUX.1-schnell",
                        "tooltip": "schnell: 4 steps, free for commercial use. dev: 28 steps, follows the prompt better, non-commercial. "
                        "Krea: dev with a more photographic look.",
                    },
                ),
                "precision": inputs.precision(
                    "auto is what the model was trained for (bf16); a GGUF transformer stays as it is. fp16 for cards without bf16, "
                    "fp32 only for comparing: it takes twice the memory."
                ),
            },
            "optional": {
                "source": inputs.source("flux"),
            },
        }

    def select(self, model: str, precision: Any = "auto", source: str = AUTO_SOURCE) -> tuple[Any, ...]:
        roles = ("transformer", "text_encoder", "text_encoder_2", "vae", "scheduler")
        return tuple(select_component(model, role, precision=precision, source=source) for role in roles)


class FluxPromptEncode:
    """Text to conditioning with both of FLUX's text encoders."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Encodes a prompt for FLUX. An unchanged prompt is not encoded again, whatever else changes in the graph."
    SEARCH_ALIASES = ["flux prompt", "clip text encode flux"]
    RETURN_TYPES = ("CONDITIONING",)
    OUTPUT_TOOLTIPS = ("The encoded prompt, for FluxDenoise or a native sampler.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "clip_l": (CLIP_L, {"tooltip": "From FluxLoader."}),
                "t5_xxl": (T5_XXL, {"tooltip": "From FluxLoader."}),
                "prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "dynamicPrompts": True,
                        "tooltip": "What to paint, in whole sentences. FLUX knows no negative prompt and no (weights:1.2).",
                    },
                ),
                "guidance": inputs.guidance(
                    "How closely dev and Krea follow the prompt; lower looks more natural. -1 is the model's own value (dev "
                    "3.5, Krea 4.5). schnell has none: leave it at -1."
                ),
            },
            "optional": {
                "clip_prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "default": "",
                        "tooltip": "Another text for CLIP-L, usually a few words of style. Empty: the prompt itself.",
                        "advanced": True,
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, guidance: float | None = None) -> bool | str:
        if guidance is None or guidance == inputs.MODEL_DEFAULT or 0 <= guidance <= 100:
            return True
        return f"guidance {guidance} is not usable: give 0 to 100, or -1 for the model's own value."

    def encode(self, clip_l: Any, t5_xxl: Any, prompt: str, guidance: float = inputs.MODEL_DEFAULT, clip_prompt: str = "") -> tuple[Any]:
        asked = inputs.asked(guidance)
        return (to_conditioning(flux.encode_prompt(clip_l, t5_xxl, prompt, clip_prompt=clip_prompt, guidance=asked)),)


class FluxEncode:
    """Picture to latents."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Encodes a picture for image-to-image or inpainting with FLUX."
    SEARCH_ALIASES = ["flux vae encode", "img2img", "image to image"]
    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS = ("The picture as latents: to FluxDenoise.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": (FLUX_VAE, {"tooltip": "From FluxLoader."}),
                "image": (
                    "IMAGE",
                    {"tooltip": f"One or several pictures. Both sides must be multiples of {SIZE_MULTIPLE}: scale or crop them before."},
                ),
            },
        }

    def encode(self, vae: Any, image: Any) -> tuple[dict[str, Any]]:
        return (to_latent(flux.encode_image(vae, image)),)


class FluxDenoise:
    """Noise (or a noised picture) to latents, step by step."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Paints with FLUX: from noise, from a picture (connect latent, lower denoise), or within a mask of a picture (connect latent and "
        "mask)."
    )
    SEARCH_ALIASES = ["flux sampler", "ksampler flux", "inpaint flux"]
    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS = ("The finished latents: to FluxDecode, or any native latent node.",)
    FUNCTION = "denoise"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        side = {"default": 1024, "min": SIZE_MULTIPLE, "max": inputs.LARGEST_SIDE, "step": SIZE_MULTIPLE}
        return {
            "required": {
                "transformer": (FLUX_TRANSFORMER, {"tooltip": "From FluxLoader."}),
                "conditioning": ("CONDITIONING", {"tooltip": "From FluxPromptEncode, or native FLUX conditioning."}),
                "width": (
                    "INT",
                    side | {"tooltip": "Pixels. With a latent connected, the latent's own size is used instead."},
                ),
                "height": (
                    "INT",
                    side | {"tooltip": "Pixels. With a latent connected, the latent's own size is used instead."},
                ),
                "seed": inputs.seed("The same seed with the same settings paints the same picture."),
                "steps": inputs.steps(": 4 for schnell, 28 for dev. More steps take longer and change little."),
                "denoise": inputs.denoise(
                    "How much of a connected picture is painted anew: 0.3 touches it up, 0.8 keeps little more than the "
                    "layout. 1 without a picture."
                ),
                "batch_size": inputs.batch_size(),
            },
            "optional": {
                "latent": (
                    "LATENT",
                    {"tooltip": "A picture to start from, by FluxEncode. Leave open for text to image."},
                ),
                "mask": ("MASK", {"tooltip": "1 where the picture is painted anew, 0 where it stays. Needs a latent."}),
                "scheduler": (SCHEDULER, {"tooltip": "Another noise schedule than the model's own.", "advanced": True}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        width: int | None = None,
        height: int | None = None,
        denoise: float | None = None,
        latent: Any = "absent",
        mask: Any = "absent",
    ) -> bool | str:
        """Linked inputs arrive as None, unconnected optional ones not at all."""

        def check() -> None:
            has_picture = latent != "absent"
            if not has_picture and width is not None and height is not None:
                check_size(width, height)
            if denoise is not None:
                check_denoise(denoise, has_picture=has_picture, has_mask=mask != "absent")

        return refusal(check)

    def denoise(
        self,
        transformer: Any,
        conditioning: Any,
        width: int,
        height: int,
        seed: int,
        steps: int = 0,
        denoise: float = 1.0,
        batch_size: int = 1,
        latent: dict[str, Any] | None = None,
        mask: Any = None,
        scheduler: Any = None,
    ) -> tuple[dict[str, Any]]:
        samples = flux.denoise(
            transformer,
            from_conditioning(conditioning),
            width=width,
            height=height,
            seed=seed,
            batch_size=batch_size,
            steps=steps or None,
            strength=denoise,
            picture=None if latent is None else from_latent(latent),
            mask=mask_of(latent, mask),
            scheduler=scheduler,
        )
        return ({"samples": samples},)


class FluxDecode:
    """Latents to picture."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Decodes FLUX latents to pictures."
    SEARCH_ALIASES = ["flux vae decode"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The pictures.",)
    FUNCTION = "decode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": (FLUX_VAE, {"tooltip": "From FluxLoader."}),
                "latent": ("LATENT", {"tooltip": "From FluxDenoise, or native FLUX latents."}),
            },
        }

    def decode(self, vae: Any, latent: dict[str, Any]) -> tuple[Any]:
        return (flux.decode(vae, latent["samples"]),)
