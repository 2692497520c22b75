"""Qwen-Image in ComfyUI: load, encode prompts and pictures."""

from __future__ import annotations

from typing import Any

from ..loaders.component import AUTO_SOURCE, select_component
from ..loaders.registry import load_registry
from ..pipelines import qwen_image, qwen_image_prompt
from ..pipelines.qwen_image_checks import AUTO_TEMPLATE, SIZE_MULTIPLE
from ..pipelines.qwen_image_kinds import KINDS, RESOLUTIONS
from . import inputs
from .latents import to_latent
from .loader import Loader
from .qwen_image_conditioning import to_conditioning
from .sockets import QWEN_IMAGE_TRANSFORMER, QWEN_IMAGE_VAE, QWEN_VL, SCHEDULER

CATEGORY = "Advanced Models/Qwen-Image"


class QwenImageLoader(Loader):
    """Names the parts of a Qwen-Image model; nothing is read before a node computes with a part."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Chooses a Qwen-Image model and hands out its parts separately. Nothing is loaded yet: each part is read when a node first "
        "computes with it, and shared with every other node that uses the same part. The text encoder is Qwen2.5-VL-7B, the same that "
        "QwenVLChat talks with."
    )
    SEARCH_ALIASES = ["qwen image", "qwen edit", "load diffusion model", "image edit model", "layered"]
    RETURN_TYPES = (QWEN_IMAGE_TRANSFORMER, QWEN_VL, QWEN_IMAGE_VAE, SCHEDULER)
    RETURN_NAMES = ("transformer", "qwen_vl", "vae", "scheduler")
    OUTPUT_TOOLTIPS = (
        "Paints the picture: to QwenImageDenoise.",
        "Reads the prompt, and the pictures to edit: to QwenImagePromptEncode. It also chats.",
        "Turns pictures into latents and back: to QwenImagePromptEncode, QwenImageEncode and QwenImageDecode.",
        "The noise schedule. QwenImageDenoise uses this model's own unless another one is connected.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (
                    [model.id for model in load_registry().models_of("qwen_image")],
                    {
                        "default": "Qwen-Image",
                        "tooltip": "Qwen-Image and 2512 paint from text, and write it well, in Chinese and English. Edit changes one "
                        "picture; Edit-2509 and 2511 work on up to three. Layered takes a picture apart into transparent layers.",
                    },
                ),
                "precision": inputs.precision(
                    "auto is what the model was trained for (bf16); a GGUF transformer stays as it is. fp16 gives black pictures with "
                    "this model on some cards; fp32 is only for comparing."
                ),
            },
            "optional": {
                "source": inputs.source("qwen_image"),
            },
        }

    def select(self, model: str, precision: Any = "auto", source: str = AUTO_SOURCE) -> tuple[Any, ...]:
        roles = ("transformer", "text_encoder", "vae", "scheduler")
        return tuple(select_component(model, role, precision=precision, source=source) for role in roles)


class QwenImagePromptEncode:
    """Text, and the pictures it speaks of, to conditioning."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Encodes a prompt and its negative for Qwen-Image, together with the pictures to edit. An unchanged prompt is not encoded again, "
        "not even after a restart."
    )
    SEARCH_ALIASES = ["qwen prompt", "text encode qwen image edit", "clip text encode qwen"]
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    OUTPUT_TOOLTIPS = (
        "The encoded prompt, for QwenImageDenoise or a native sampler.",
        "The encoded negative prompt. It counts only while true_cfg is above 1.",
    )
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        picture = "pictures are scaled as the model was trained. Only with the edit and layered models."
        return {
            "required": {
                "qwen_vl": (QWEN_VL, {"tooltip": "From QwenImageLoader, or Qwen2.5-VL-7B from QwenVLLoader."}),
                "prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "dynamicPrompts": True,
                        "tooltip": "What to paint, or what to change: whole sentences, Chinese or English. Put words that shall appear "
                        "in the picture in quotation marks. For layers it may stay empty: the encoder then describes the picture.",
                    },
                ),
                "negative_prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "default": " ",
                        "tooltip": "What to stay away from. One space is what the model was trained with for 'nothing in particular'.",
                    },
                ),
            },
            "optional": {
                "vae": (QWEN_IMAGE_VAE, {"tooltip": "From QwenImageLoader. Needed with pictures."}),
                "image_1": ("IMAGE", {"tooltip": f"The picture to work on; {picture}"}),
                "image_2": ("IMAGE", {"tooltip": f"A second picture (Edit-2509 and 2511): 'Picture 2' in the prompt; {picture}"}),
                "image_3": ("IMAGE", {"tooltip": f"A third picture (Edit-2509 and 2511): 'Picture 3' in the prompt; {picture}"}),
                "template": (
                    [AUTO_TEMPLATE, *KINDS],
                    {
                        "default": AUTO_TEMPLATE,
                        "tooltip": "The words around the prompt that a model was trained with. auto goes by the model that the encoder was "
                        "loaded for; an encoder from QwenVLLoader serves all, so with pictures it has to be told.",
                        "advanced": True,
                    },
                ),
                "one_prompt_per_line": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Each line is a prompt for a picture of its own, painted together in one batch. Not with pictures.",
                        "advanced": True,
                    },
                ),
                "resolution": (
                    [str(side) for side in RESOLUTIONS],
                    {
                        "default": str(RESOLUTIONS[0]),
                        "tooltip": "For Qwen-Image-Layered: the picture is scaled to the area of a square of this side.",
                        "advanced": True,
                    },
                ),
            },
        }

    def encode(
        self,
        qwen_vl: Any,
        prompt: str,
        negative_prompt: str = " ",
        vae: Any = None,
        image_1: Any = None,
        image_2: Any = None,
        image_3: Any = None,
        template: str = AUTO_TEMPLATE,
        one_prompt_per_line: bool = False,
        resolution: str = str(RESOLUTIONS[0]),
    ) -> tuple[Any, Any]:
        pictures = [image for image in (image_1, image_2, image_3) if image is not None]
        positive, negative = qwen_image_prompt.encode_pair(
            qwen_vl,
            vae,
            [line for line in prompt.splitlines() if line.strip()] if one_prompt_per_line else [prompt],
            negative_prompt,
            pictures,
            template=template,
            resolution=int(resolution),
        )
        return (to_conditioning(positive), to_conditioning(negative))


class QwenImageEncode:
    """Picture to latents."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Encodes a picture for image-to-image or inpainting with Qwen-Image. Pictures to edit go into QwenImagePromptEncode instead."
    )
    SEARCH_ALIASES = ["qwen vae encode", "img2img", "image to image"]
    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS = ("The picture as latents: to QwenImageDenoise.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": (QWEN_IMAGE_VAE, {"tooltip": "From QwenImageLoader."}),
                "image": (
                    "IMAGE",
                    {"tooltip": f"One or several pictures. Both sides must be multiples of {SIZE_MULTIPLE}: scale or crop them before."},
                ),
            },
        }

    def encode(self, vae: Any, image: Any) -> tuple[dict[str, Any]]:
        return (to_latent(qwen_image.encode_image(vae, image)),)
