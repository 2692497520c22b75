"""Qwen-Image in ComfyUI: denoise and decode."""

from __future__ import annotations

from typing import Any

from ..pipelines import qwen_image
from ..pipelines.qwen_image_checks import SIZE_MULTIPLE, check_size, check_strength
from . import inputs
from .latents import from_latent, mask_of
from .qwen_image import CATEGORY
from .qwen_image_conditioning import from_conditioning
from .refusal import refusal
from .sockets import QWEN_IMAGE_TRANSFORMER, QWEN_IMAGE_VAE, SCHEDULER


class QwenImageDenoise:
    """Noise (or a noised picture) to latents, step by step."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Paints with Qwen-Image: from noise, from a picture (connect latent, lower denoise), within a mask of a picture (latent and mask), "
        "or on the pictures that were encoded with the prompt (edit and layered models)."
    )
    SEARCH_ALIASES = ["qwen sampler", "ksampler qwen", "qwen image edit", "qwen inpaint"]
    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS = ("The finished latents: to QwenImageDecode, or any native latent node.",)
    FUNCTION = "denoise"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        side = {"default": 0, "min": 0, "max": inputs.LARGEST_SIDE, "step": SIZE_MULTIPLE}
        size = "0 (with both) is the model's own size, or that of the picture to edit. A connected latent brings its size."
        return {
            "required": {
                "transformer": (QWEN_IMAGE_TRANSFORMER, {"tooltip": "From QwenImageLoader."}),
                "positive": ("CONDITIONING", {"tooltip": "From QwenImagePromptEncode, or native Qwen-Image conditioning."}),
                "width": ("INT", side | {"tooltip": f"Pixels. {size}"}),
                "height": ("INT", side | {"tooltip": f"Pixels. {size}"}),
                "seed": inputs.seed("The same seed with the same settings paints the same picture."),
                "steps": inputs.steps(": 50, or 40 for Edit-2509 and 2511."),
                "true_cfg": (
                    "FLOAT",
                    {
                        "default": inputs.MODEL_DEFAULT,
                        "min": inputs.MODEL_DEFAULT,
                        "max": 30.0,
                        "step": 0.1,
                        "tooltip": "How much the prompt counts against the negative one; above 1 every step takes twice the time. -1 is "
                        "the model's own value (4). 1 for models and LoRAs made for few steps.",
                    },
                ),
                "denoise": inputs.denoise(
                    "How much of a connected latent is painted anew: 0.3 touches it up, 0.8 keeps little more than the "
                    "layout. 1 without a latent."
                ),
                "batch_size": inputs.batch_size(),
            },
            "optional": {
                "negative": ("CONDITIONING", {"tooltip": "QwenImagePromptEncode's negative output. Needed while true_cfg is above 1."}),
                "latent": ("LATENT", {"tooltip": "A picture to start from, by QwenImageEncode. Only for models that paint from text."}),
                "mask": ("MASK", {"tooltip": "1 where the picture is painted anew, 0 where it stays. Needs a latent."}),
                "layers": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 16,
                        "tooltip": "Layers that Qwen-Image-Layered takes a picture apart into. 0 is its own number, 4.",
                        "advanced": True,
                    },
                ),
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
                check_strength(denoise, has_picture=has_picture, has_mask=mask != "absent")

        return refusal(check)

    def denoise(
        self,
        transformer: Any,
        positive: Any,
        width: int = 0,
        height: int = 0,
        seed: int = 0,
        steps: int = 0,
        true_cfg: float = inputs.MODEL_DEFAULT,
        denoise: float = 1.0,
        batch_size: int = 1,
        negative: Any = None,
        latent: dict[str, Any] | None = None,
        mask: Any = None,
        layers: int = 0,
        scheduler: Any = None,
    ) -> tuple[dict[str, Any]]:
        samples = qwen_image.denoise(
            transformer,
            from_conditioning(positive),
            None if negative is None else from_conditioning(negative),
            width=width,
            height=height,
            seed=seed,
            batch_size=batch_size,
            steps=steps or None,
            true_cfg=inputs.asked(true_cfg),
            strength=denoise,
            picture=None if latent is None else from_latent(latent),
            mask=mask_of(latent, mask),
            layers=layers or None,
            scheduler=scheduler,
        )
        return ({"samples": samples},)


class QwenImageDecode:
    """Latents to picture."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Decodes Qwen-Image latents to pictures; layers become a batch of pictures with transparency, the lowest first."
    SEARCH_ALIASES = ["qwen vae decode", "layers"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The pictures. Layers have a fourth channel, their opacity.",)
    FUNCTION = "decode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": (QWEN_IMAGE_VAE, {"tooltip": "From QwenImageLoader."}),
                "latent": ("LATENT", {"tooltip": "From QwenImageDenoise, or native Qwen-Image latents."}),
            },
        }

    def decode(self, vae: Any, latent: dict[str, Any]) -> tuple[Any]:
        return (qwen_image.decode(vae, latent["samples"]),)
