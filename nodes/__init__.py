"""The nodes of the pack by the id under which ComfyUI knows them."""

from __future__ import annotations

from .flux import FluxDecode, FluxDenoise, FluxEncode, FluxLoader, FluxPromptEncode
from .guard import VRAMGuard
from .lora import LoRALoader
from .qwen_image import QwenImageEncode, QwenImageLoader, QwenImagePromptEncode
from .qwen_image_denoise import QwenImageDecode, QwenImageDenoise
from .qwen_vl import QwenVLChat, QwenVLLoader
from .step_cache import StepCache
from .text_encoders import TextEncoderPicker
from .timeline import VideoTimeline
from .video import VideoCombine
from .wan import WanDecode, WanDenoise
from .wan_encode import WanEncode, WanImageEncode, WanPromptEncode
from .wan_loaders import WanLoader, WanVAELoader

_NODES = (
    (FluxLoader, FluxPromptEncode, FluxEncode, FluxDenoise, FluxDecode),
    (WanLoader, WanVAELoader, WanPromptEncode, WanImageEncode, WanEncode, WanDenoise, WanDecode),
    (VideoCombine, VideoTimeline),
    (TextEncoderPicker,),
    (LoRALoader,),
    (StepCache,),
    (VRAMGuard,),
    (QwenVLLoader, QwenVLChat),
    (QwenImageLoader, QwenImagePromptEncode, QwenImageEncode, QwenImageDenoise, QwenImageDecode),
)

NODE_CLASS_MAPPINGS: dict[str, type] = {node.__name__: node for architecture in _NODES for node in architecture}

NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "FluxLoader": "FLUX Loader",
    "FluxPromptEncode": "FLUX Prompt Encode",
    "FluxEncode": "FLUX Encode Image",
    "FluxDenoise": "FLUX Denoise",
    "FluxDecode": "FLUX Decode",
    "VideoCombine": "Video Combine",
    "VideoTimeline": "Video Timeline",
    "WanLoader": "Wan Loader",
    "WanVAELoader": "Wan VAE Loader",
    "WanPromptEncode": "Wan Prompt Encode",
    "WanImageEncode": "Wan Encode Image",
    "WanEncode": "Wan Encode Video",
    "WanDenoise": "Wan Denoise",
    "WanDecode": "Wan Decode",
    "TextEncoderPicker": "Text Encoder Picker",
    "LoRALoader": "LoRA Loader",
    "StepCache": "Step Cache",
    "VRAMGuard": "VRAM Guard",
    "QwenVLLoader": "Qwen-VL Loader",
    "QwenVLChat": "Qwen-VL Chat",
    "QwenImageLoader": "Qwen-Image Loader",
    "QwenImagePromptEncode": "Qwen-Image Prompt Encode",
    "QwenImageEncode": "Qwen-Image Encode Image",
    "QwenImageDenoise": "Qwen-Image Denoise",
    "QwenImageDecode": "Qwen-Image Decode",
}
