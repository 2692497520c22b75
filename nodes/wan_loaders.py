"""Wan 2.1 and 2.2 in ComfyUI: the parts of a model, and a VAE by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..loaders.component import AUTO_SOURCE, select_component
from ..loaders.single_files import check_experts
from ..pipelines.tiles import OWN_TILE
from ..pipelines.wan_model import WanTransformer, known_models, known_vaes
from . import inputs
from .loader import Loader
from .sockets import CLIP_VISION_H, SCHEDULER, UMT5_XXL, WAN_TRANSFORMER, WAN_VAE
from .wan import CATEGORY
from .wan_pairing import HIDDEN, Prompt, check_decoders


class WanLoader(Loader):
    """Names the parts of a Wan model; nothing is read before a node computes with a part."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Chooses a Wan model and hands out its parts separately. Nothing is loaded yet: each part is read when a node first computes "
        "with it. The two experts of Wan 2.2 A14B travel on one wire and are loaded one after the other where memory is short."
    )
    SEARCH_ALIASES = ["wan", "wan video", "wan 2.1", "wan 2.2", "text to video", "image to video", "load diffusion model"]
    RETURN_TYPES = (WAN_TRANSFORMER, UMT5_XXL, WAN_VAE, CLIP_VISION_H, SCHEDULER)
    RETURN_NAMES = ("transformer", "umt5_xxl", "vae", "image_encoder", "scheduler")
    OUTPUT_TOOLTIPS = (
        "Makes the video, both experts where there are two: to WanDenoise.",
        "The text encoder: to WanPromptEncode.",
        "Turns videos into latents and back: to WanDecode, WanImageEncode and WanEncode.",
        "CLIP ViT-H, which Wan 2.1 from image sees the image through: to WanImageEncode. Empty for every other model.",
        "The noise schedule. WanDenoise uses this model's own unless another one is connected.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (
                    [model.id for model in known_models()],
                    {
                        "default": "Wan2.1-T2V-1.3B",
                        "tooltip": "2.1 T2V 1.3B: the modest one, 480p. 2.2 TI2V-5B: 720p at 24 fps, from text or an image. 2.2 A14B: the "
                        "best, two 14B experts. I2V starts from an image, FLF2V goes from a first to a last one.",
                    },
                ),
                "precision": inputs.precision(
                    "auto is bf16 for transformer and text encoder, fp32 for VAE and image encoder; a GGUF transformer stays as it "
                    "is. A choice here is for the transformer and the text encoder alone."
                ),
            },
            "optional": {
                "source": inputs.source("wan"),
                "source_2": inputs.source(
                    "wan",
                    tooltip="Where the low-noise expert of Wan 2.2 A14B is, if the two are files of their own. auto: where source says.",
                ),
            },
            "hidden": HIDDEN,
        }

    def select(
        self,
        model: str,
        precision: Any = "auto",
        source: str = AUTO_SOURCE,
        source_2: str = AUTO_SOURCE,
        prompt: Prompt | None = None,
        unique_id: Any = None,
    ) -> tuple[Any, ...]:
        chosen = next(known for known in known_models() if known.id == model)
        second = source if source_2 == AUTO_SOURCE else source_2
        check_experts(chosen, source, second)

        def part(role: str, precision: Any = "auto") -> Any:
            place = second if role == "transformer_2" else source
            return select_component(model, role, precision=precision, source=place) if role in chosen.components else None

        transformer = WanTransformer(part("transformer", precision), part("transformer_2", precision))
        check_decoders(transformer, prompt, unique_id, "WanLoader")
        return (transformer, part("text_encoder", precision), part("vae"), part("image_encoder"), part("scheduler"))


class WanVAELoader(Loader):
    """Names a Wan VAE on its own, with its own precision and tiling."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Chooses a Wan VAE by itself, to be used instead of the loader's. Every Wan model but TI2V-5B has the 2.1 VAE, A14B of Wan 2.2 too."
    )
    SEARCH_ALIASES = ["wan vae", "load vae", "video vae"]
    RETURN_TYPES = (WAN_VAE,)
    RETURN_NAMES = ("vae",)
    OUTPUT_TOOLTIPS = ("Interchangeable with WanLoader's vae: to WanDecode, WanImageEncode and WanEncode.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": (
                    list(known_vaes()),
                    {"default": "wan2.1-vae", "tooltip": "2.1 for all of Wan 2.1 and for Wan 2.2 A14B; 2.2 for TI2V-5B alone."},
                ),
                "precision": inputs.plain_precision(
                    "auto is fp32, which the authors recommend: bf16 takes half the memory and shows in fine detail."
                ),
                "tiling": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Works on overlapping tiles one after the other: much less GPU memory, more time. Frames then leave the "
                        "VAE all at once instead of a few at a time.",
                    },
                ),
            },
            "optional": {"source": inputs.source("wan")},
        }

    def select(self, vae: str, precision: Any = "auto", tiling: bool = False, source: str = AUTO_SOURCE) -> tuple[Any]:
        chosen = select_component(known_vaes()[vae].id, "vae", precision=precision, source=source)
        return (replace(chosen, tile=OWN_TILE if tiling else None),)
