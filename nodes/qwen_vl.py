"""Qwen-VL in ComfyUI: load it, ask it about pictures and video, let it write prompts."""

from __future__ import annotations

from typing import Any

from ..loaders.component import AUTO_SOURCE, Component, role_of_socket, select_component
from ..loaders.registry import load_registry
from ..pipelines import qwen_vl as qwen_vl_pipeline
from ..pipelines.qwen_vl import Seeing, Writing, check_model, frame_pixels
from ..pipelines.qwen_vl_pictures import FRAMES_A_SECOND, TOKEN_SIDE, Clip, sample
from ..pipelines.qwen_vl_presets import LANGUAGES, OWN_QUESTION, PRESETS, SAME_LANGUAGE, instruction
from . import inputs
from .loader import Loader
from .sockets import PROCESSOR, QWEN_VL, TOKENIZER

CATEGORY = "Advanced Models/Qwen-VL"

EACH, TOGETHER, FRAMES = "one answer each", "one conversation", "frames of a video"


class QwenVLLoader(Loader):
    """Names the parts of a Qwen-VL model; nothing is read before a node computes with a part."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Chooses a model that sees and writes. Nothing is loaded yet: it is read when a node first uses it, and shared: Qwen2.5-VL-7B is "
        "also the text encoder of Qwen-Image, and loaded once it serves both."
    )
    SEARCH_ALIASES = ["qwen vl", "vision language model", "vlm", "image captioning", "llm"]
    RETURN_TYPES = (QWEN_VL, TOKENIZER, PROCESSOR)
    RETURN_NAMES = ("qwen_vl", "tokenizer", "processor")
    OUTPUT_TOOLTIPS = (
        "The model: to QwenVLChat, or to QwenImagePromptEncode (Qwen2.5-VL-7B).",
        "Text to tokens and back: to QwenVLChat.",
        "Pictures and video to what the model reads: to QwenVLChat.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (
                    [model.id for model in load_registry().models_of("qwen_vl", task="chat")],
                    {
                        "default": "Qwen2.5-VL-7B-Instruct",
                        "tooltip": "7B (16.6 GB) is the one that Qwen-Image uses too. 3B takes half of the memory, for non-commercial use. "
                        "Qwen3-VL reads small text and longer video better.",
                    },
                ),
                "precision": inputs.precision(),
            },
            "optional": {
                "source": inputs.source("qwen_vl"),
            },
        }

    def select(self, model: str, precision: Any = "auto", source: str = AUTO_SOURCE) -> tuple[Any, ...]:
        roles = (role_of_socket(model, QWEN_VL), "tokenizer", "processor")
        return tuple(select_component(model, role, precision=precision, source=source) for role in roles)


class QwenVLChat:
    """Pictures, video and a question to text."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Describes pictures and video, answers questions about them, reads their text, and writes prompts for FLUX, Wan and Qwen-Image "
        "from a picture or from an idea. The text appears while it is written."
    )
    SEARCH_ALIASES = ["caption", "describe image", "tagger", "ask image", "prompt enhancer", "prompt writer", "ocr", "vlm", "llm"]
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("The answer; with several pictures and an answer for each, a list in their order.",)
    FUNCTION = "chat"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "qwen_vl": (QWEN_VL, {"tooltip": "From QwenVLLoader; QwenImageLoader's text encoder works as well."}),
                "tokenizer": (TOKENIZER, {"tooltip": "From QwenVLLoader."}),
                "preset": (
                    list(PRESETS),
                    {"default": "describe", "tooltip": f"What to do. '{OWN_QUESTION}' asks the prompt alone; the others add it as a wish."},
                ),
                "prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "default": "",
                        "dynamicPrompts": True,
                        "tooltip": "Your question, your idea for a prompt, or what to pay attention to. Chinese or English.",
                    },
                ),
                "language": (list(LANGUAGES), {"default": SAME_LANGUAGE, "tooltip": "The language of the answer."}),
                "seed": inputs.seed("The same seed with the same settings gives the same answer. It has no say at temperature 0."),
                "max_new_tokens": (
                    "INT",
                    {
                        "default": 512,
                        "min": 1,
                        "max": 16384,
                        "tooltip": "Where the answer is cut off at the latest. 512 tokens are some 350 English words or 700 "
                        "Chinese characters.",
                    },
                ),
                "temperature": (
                    "FLOAT",
                    {
                        "default": 0.7,
                        "min": 0.0,
                        "max": 2.0,
                        "step": 0.05,
                        "tooltip": "0 gives the likeliest answer each time: best for reading text. Higher values vary more; above 1 the "
                        "text may lose its thread.",
                    },
                ),
            },
            "optional": {
                "processor": (PROCESSOR, {"tooltip": "From QwenVLLoader. Needed with pictures and video."}),
                "images": ("IMAGE", {"tooltip": "One or several pictures, or the frames of a video."}),
                "image_2": ("IMAGE", {"tooltip": "A further picture, of any size, shown after each of images: to compare."}),
                "image_3": ("IMAGE", {"tooltip": "A further picture, of any size, shown after image_2."}),
                "video": ("VIDEO", {"tooltip": "A video; needs torchvision."}),
                "images_are": (
                    [EACH, TOGETHER, FRAMES],
                    {
                        "default": EACH,
                        "tooltip": f"What several images are: '{EACH}' gives a list of texts, '{TOGETHER}' one text about all of them.",
                    },
                ),
                "frame_rate": (
                    "FLOAT",
                    {
                        "default": 16.0,
                        "min": 0.1,
                        "max": 240.0,
                        "step": 0.001,
                        "tooltip": "Frames per second of images that are the frames of a video. A connected video knows its own.",
                    },
                ),
                "system_prompt": (
                    "STRING",
                    {
                        "multiline": True,
                        "default": "",
                        "tooltip": "Who the model shall be, and rules for every answer. Empty: its own 'You are a helpful assistant.'",
                        "advanced": True,
                    },
                ),
                "top_p": (
                    "FLOAT",
                    {
                        "default": 0.8,
                        "min": 0.01,
                        "max": 1.0,
                        "step": 0.01,
                        "tooltip": "Only the likeliest tokens that together have this share are drawn from. 1: all.",
                        "advanced": True,
                    },
                ),
                "top_k": (
                    "INT",
                    {
                        "default": 20,
                        "min": 1,
                        "max": 1000,
                        "tooltip": "Only so many of the likeliest tokens are drawn from.",
                        "advanced": True,
                    },
                ),
                "repetition_penalty": (
                    "FLOAT",
                    {
                        "default": 1.05,
                        "min": 1.0,
                        "max": 2.0,
                        "step": 0.01,
                        "tooltip": "Above 1, words that were written are less likely to come again. 1.05 is the model's own; much more "
                        "spoils grammar.",
                        "advanced": True,
                    },
                ),
                "min_pixels": (
                    "INT",
                    {
                        "default": 4 * TOKEN_SIDE**2,
                        "min": 4 * TOKEN_SIDE**2,
                        "max": 16384 * TOKEN_SIDE**2,
                        "step": TOKEN_SIDE**2,
                        "tooltip": "Smaller pictures are enlarged to this many pixels. 784 pixels are one token.",
                        "advanced": True,
                    },
                ),
                "max_pixels": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 16384 * TOKEN_SIDE**2,
                        "step": TOKEN_SIDE**2,
                        "tooltip": "Larger pictures are scaled down to this many pixels, which saves memory and loses small text. 0: as "
                        "much as the free memory allows, up to 1 megapixel. 784 pixels are one token.",
                        "advanced": True,
                    },
                ),
            },
        }

    def chat(
        self,
        qwen_vl: Any,
        tokenizer: Any,
        preset: str = "describe",
        prompt: str = "",
        language: str = SAME_LANGUAGE,
        seed: int = 0,
        max_new_tokens: int = 512,
        temperature: float = 0.7,
        processor: Any = None,
        images: Any = None,
        image_2: Any = None,
        image_3: Any = None,
        video: Any = None,
        images_are: str = EACH,
        frame_rate: float = 16.0,
        system_prompt: str = "",
        top_p: float = 0.8,
        top_k: int = 20,
        repetition_penalty: float = 1.05,
        min_pixels: int = 4 * TOKEN_SIDE**2,
        max_pixels: int = 0,
    ) -> dict[str, Any]:
        check_model(qwen_vl)
        seeing = Seeing(max_pixels or None, min_pixels)
        further = [picture for image in (image_2, image_3) if image is not None for picture in image]
        clip = None
        if video is not None or (images is not None and images_are == FRAMES):
            clip = _clip(qwen_vl, images, video, frame_rate, seeing)
        if images is None or images_are == FRAMES:
            questions = [further]
        elif images_are == TOGETHER:
            questions = [[*images, *further]]
        else:
            questions = [[picture, *further] for picture in images]
        asked = [instruction(preset, prompt, language, subject=_subject(len(pictures), clip is not None)) for pictures in questions]
        writing = Writing(seed, max_new_tokens, temperature, top_p, top_k, repetition_penalty)
        texts = [
            qwen_vl_pipeline.chat(
                qwen_vl,
                tokenizer,
                processor,
                text,
                system=system_prompt.strip(),
                pictures=pictures,
                clip=clip,
                writing=writing,
                seeing=seeing,
            )
            for text, pictures in zip(asked, questions, strict=True)
        ]
        return {"ui": {"text": texts}, "result": (texts,)}


def _clip(model: Component, images: Any, video: Any, frame_rate: float, seeing: Seeing) -> Clip:
    """The frames of the video, or of images that are one, at the rate that the model reads."""
    from ..video.frames import frames_of
    from ..video.value import VideoParts, parts_of

    parts = VideoParts(frames_of(images), None, None) if video is None else parts_of(video)
    wanted = model.model_entry.defaults.fps or FRAMES_A_SECOND
    return sample(parts.source.chunks(), float(parts.frame_rate or frame_rate), wanted, frame_pixels(seeing), TOKEN_SIDE)


def _subject(pictures: int, has_clip: bool) -> str | None:
    """What the presets call what they work on."""
    shown = {0: [], 1: ["the picture"]}.get(pictures, ["the pictures"])
    return " and ".join([*shown, *(["the video"] if has_clip else [])]) or None
