"""Wan 2.1 and 2.2 in ComfyUI: prompts, images and videos to what WanDenoise takes."""

from __future__ import annotations

from typing import Any

from ..pipelines.wan_checks import check_frames, check_size
from ..pipelines.wan_model import known_models
from .refusal import refusal
from .sockets import CLIP_VISION_H, UMT5_XXL, WAN_VAE
from .wan import CATEGORY, size_inputs
from .wan_values import to_conditioning, to_latent, with_image


class WanPromptEncode:
    """Two texts to conditioning with UMT5-XXL."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Encodes what a Wan video shall and shall not show. Unchanged prompts are not encoded again."
    SEARCH_ALIASES = ["wan prompt", "umt5", "clip text encode wan", "negative prompt"]
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    OUTPUT_TOOLTIPS = (
        "The encoded prompt: to WanDenoise, WanImageEncode or a native sampler.",
        "The encoded negative prompt: to the same.",
    )
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        own = next((model.defaults.negative_prompt for model in known_models() if model.defaults.negative_prompt), "")
        return {
            "required": {
                "umt5_xxl": (UMT5_XXL, {"tooltip": "From WanLoader. All Wan models share it."}),
                "prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "dynamicPrompts": True,
                        "tooltip": "What the video shows: subject, motion, camera, light, in English or Chinese, up to 512 tokens.",
                    },
                ),
                "negative_prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "dynamicPrompts": True,
                        "default": own,
                        "tooltip": "What to keep out of it. Without effect at guidance 1.",
                    },
                ),
            },
        }

    def encode(self, umt5_xxl: Any, prompt: str, negative_prompt: str = "") -> tuple[Any, Any]:
        from ..pipelines import wan

        positive, negative = (to_conditioning(wan.encode_prompt(umt5_xxl, text)) for text in (prompt, negative_prompt))
        return (positive, negative)


class WanImageEncode:
    """A first image, and perhaps a last one, to conditioning and latent."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Encodes the image that a video starts from, and the one that it ends with, for Wan's image-to-video models. Images of another "
        "size are cropped in the middle and scaled."
    )
    SEARCH_ALIASES = ["wan image to video", "i2v", "first last frame", "start image", "flf2v"]
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING", "LATENT")
    RETURN_NAMES = ("positive", "negative", "latent")
    OUTPUT_TOOLTIPS = (
        "The prompt with the image: to WanDenoise.",
        "The negative prompt with the image: to WanDenoise.",
        "The clip's size; for TI2V-5B, the image itself: to WanDenoise.",
    )
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "positive": ("CONDITIONING", {"tooltip": "From WanPromptEncode."}),
                "negative": ("CONDITIONING", {"tooltip": "From WanPromptEncode."}),
                "vae": (WAN_VAE, {"tooltip": "The VAE of the model: 2.2 for TI2V-5B, 2.1 for every other."}),
                "start_image": ("IMAGE", {"tooltip": "The first frame."}),
                **size_inputs(),
            },
            "optional": {
                "end_image": ("IMAGE", {"tooltip": "The last frame, for Wan 2.1 FLF2V and Wan 2.2 I2V-A14B."}),
                "image_encoder": (CLIP_VISION_H, {"tooltip": "From WanLoader. Wan 2.1 needs it, Wan 2.2 has none."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, width: int | None = None, height: int | None = None, frames: int | None = None) -> bool | str:
        """Linked inputs arrive as None."""

        def check() -> None:
            if frames is not None:
                check_frames(frames)
            if width is not None and height is not None:
                check_size(width, height)

        return refusal(check)

    def encode(
        self,
        positive: Any,
        negative: Any,
        vae: Any,
        start_image: Any,
        width: int,
        height: int,
        frames: int,
        end_image: Any = None,
        image_encoder: Any = None,
    ) -> tuple[Any, Any, dict[str, Any]]:
        from ..pipelines import wan

        image, latents = wan.encode_image(
            vae, start_image, width=width, height=height, frames=frames, last=end_image, image_encoder=image_encoder
        )
        return (with_image(positive, image), with_image(negative, image), to_latent(latents))


class WanEncode:
    """Frames to latents."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Encodes a video for video-to-video with Wan."
    SEARCH_ALIASES = ["wan vae encode", "video to video", "v2v"]
    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS = ("The video as latents: to WanDenoise, with denoise below 1.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": (WAN_VAE, {"tooltip": "The VAE of the model: 2.2 for TI2V-5B, 2.1 for every other."}),
                "images": (
                    "IMAGE",
                    {"tooltip": "The frames, 4k+1 of them, with sides that are multiples of 16 (32 for TI2V-5B): cut and scale before."},
                ),
            },
        }

    def encode(self, vae: Any, images: Any) -> tuple[dict[str, Any]]:
        from ..pipelines import wan

        return (to_latent(wan.encode_video(vae, images)),)
