"""Wan 2.1 and 2.2 in ComfyUI: denoise and decode. `wan_loaders` names the parts, `wan_encode` encodes prompts, images and videos."""

from __future__ import annotations

from typing import Any

from ..pipelines.wan_checks import FRAME_STEP, SIZE_STEP, check_frames, check_guidance, check_part, check_size, check_strength
from . import inputs
from .refusal import refusal
from .sockets import SCHEDULER, WAN_TRANSFORMER, WAN_VAE
from .wan_pairing import HIDDEN, Prompt, check_decoders
from .wan_values import embeds_of, from_latent, image_of, to_latent

CATEGORY = "Advanced Models/Wan"
MOST_FRAMES = 2001
LAST_STEP = 10000


def size_inputs() -> dict[str, Any]:
    """The width, height and frames of a clip."""
    side = {"min": SIZE_STEP, "max": inputs.LARGEST_SIDE, "step": SIZE_STEP}
    return {
        "width": ("INT", {"default": 832, **side, "tooltip": "Pixels, a multiple of 16; of 32 for TI2V-5B (1280)."}),
        "height": ("INT", {"default": 480, **side, "tooltip": "Pixels, a multiple of 16; of 32 for TI2V-5B (704)."}),
        "frames": (
            "INT",
            {
                "default": 81,
                "min": 1,
                "max": MOST_FRAMES,
                "step": FRAME_STEP,
                "tooltip": "4k+1: 5, 9, ... 81 is five seconds at 16 frames per second. TI2V-5B makes 121 at 24.",
            },
        ),
    }


class WanDenoise:
    """Noise, an image or a video to latents, step by step."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Makes a video with Wan: from text, from an image (WanImageEncode before it), or from a video (WanEncode's latent, lower denoise). "
        "start_step and end_step run a part of the schedule; the parts together equal the whole run exactly."
    )
    SEARCH_ALIASES = ["wan sampler", "ksampler wan", "ksampler advanced", "video sampler"]
    RETURN_TYPES = ("LATENT",)
    OUTPUT_TOOLTIPS = ("The latents: to WanDecode, to a WanDenoise that continues an unfinished run, or to any native latent node.",)
    FUNCTION = "denoise"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        own_size = {
            name: (kind, {**options, "tooltip": options["tooltip"] + " A connected latent has its own size."})
            for name, (kind, options) in size_inputs().items()
        }
        return {
            "required": {
                "transformer": (WAN_TRANSFORMER, {"tooltip": "From WanLoader."}),
                "positive": ("CONDITIONING", {"tooltip": "From WanPromptEncode, through WanImageEncode where there is an image."}),
                "negative": ("CONDITIONING", {"tooltip": "What to keep out, from WanPromptEncode. Without effect at guidance 1."}),
                **own_size,
                "seed": inputs.seed("The same seed with the same settings makes the same video."),
                "steps": inputs.steps(", 40 or 50. With a 4-step LoRA, 4."),
                "guidance": inputs.guidance(
                    "How closely the video follows the prompt. -1 is the model's own. 1 leaves out the negative prompt and halves the time."
                ),
                "guidance_2": inputs.guidance(
                    "The same for the low-noise expert of Wan 2.2 A14B. -1 is the model's own, or guidance's where that is set."
                ),
                "denoise": inputs.denoise(
                    "How much of a connected video is made anew: 0.3 touches it up, 0.8 keeps little more than the motion. 1 "
                    "without a video."
                ),
            },
            "optional": {
                "latent": (
                    "LATENT",
                    {"tooltip": "From WanImageEncode, from WanEncode for video to video, or from a WanDenoise that ended early."},
                ),
                "scheduler": (SCHEDULER, {"tooltip": "Another noise schedule than the model's own.", "advanced": True}),
                "shift": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": 100.0,
                        "step": 0.1,
                        "advanced": True,
                        "tooltip": "How much of the schedule is spent at high noise, where motion is decided. 0 is the model's own: 3 for "
                        "480p, 5 for 720p, 8 for 1.3B.",
                    },
                ),
                "start_step": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": LAST_STEP,
                        "advanced": True,
                        "tooltip": "Continues a run whose latent is connected, from the step at which it ended.",
                    },
                ),
                "end_step": (
                    "INT",
                    {
                        "default": LAST_STEP,
                        "min": 1,
                        "max": LAST_STEP,
                        "advanced": True,
                        "tooltip": "Ends before this step; a second WanDenoise continues from there. 10000 is the end of the run.",
                    },
                ),
            },
            "hidden": HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        width: int | None = None,
        height: int | None = None,
        frames: int | None = None,
        denoise: float | None = None,
        guidance: float | None = None,
        guidance_2: float | None = None,
        start_step: int | None = None,
        end_step: int | None = None,
        latent: Any = "absent",
    ) -> bool | str:
        """Linked inputs arrive as None, unconnected optional ones not at all."""

        def check() -> None:
            if latent == "absent":
                if frames is not None:
                    check_frames(frames)
                if width is not None and height is not None:
                    check_size(width, height)
            if denoise is not None:
                check_strength(denoise)
            check_guidance(inputs.asked(guidance), "guidance")
            check_guidance(inputs.asked(guidance_2), "guidance_2")
            check_part(start_step or 0, end_step)

        return refusal(check)

    def denoise(
        self,
        transformer: Any,
        positive: Any,
        negative: Any,
        width: int,
        height: int,
        frames: int,
        seed: int,
        steps: int = 0,
        guidance: float = inputs.MODEL_DEFAULT,
        guidance_2: float = inputs.MODEL_DEFAULT,
        denoise: float = 1.0,
        latent: dict[str, Any] | None = None,
        scheduler: Any = None,
        shift: float = 0.0,
        start_step: int = 0,
        end_step: int = LAST_STEP,
        prompt: Prompt | None = None,
        unique_id: Any = None,
    ) -> tuple[dict[str, Any]]:
        from ..pipelines import wan

        check_decoders(transformer, prompt, unique_id, "WanDenoise")
        result = wan.denoise(
            transformer,
            embeds_of(positive, "positive"),
            embeds_of(negative, "negative"),
            width=width,
            height=height,
            frames=frames,
            seed=seed,
            steps=steps or None,
            guidance=inputs.asked(guidance),
            guidance_2=inputs.asked(guidance_2),
            strength=denoise,
            image=image_of(positive),
            start=None if latent is None else from_latent(latent),
            scheduler=scheduler,
            shift=shift or None,
            start_step=start_step,
            end_step=end_step,
        )
        return (to_latent(result),)


class WanDecode:
    """Latents to frames."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Decodes Wan latents to frames. VideoCombine takes them a few at a time as they leave the VAE, so that a long clip never fills "
        "the memory; every other node gets an ordinary batch of images."
    )
    SEARCH_ALIASES = ["wan vae decode", "video decode"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The frames, in order. They are decoded when the next node takes them.",)
    FUNCTION = "decode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": (WAN_VAE, {"tooltip": "From WanLoader or WanVAELoader: the VAE of the model that made the latent."}),
                "latent": ("LATENT", {"tooltip": "From WanDenoise, or native Wan latents."}),
            },
        }

    def decode(self, vae: Any, latent: dict[str, Any]) -> tuple[Any]:
        from ..pipelines import wan

        return (wan.decode(vae, from_latent(latent)),)
