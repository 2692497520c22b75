"""The nodes of the pack by the id under which ComfyUI knows them."""

from __future__ import annotations

from .flux import FluxDecode, FluxDenoise, FluxEncode, FluxLoader, FluxPromptEncode
from .video import VideoCombine

NODE_CLASS_MAPPINGS: dict[str, type] = {
    node.__name__: node for node in (FluxLoader, FluxPromptEncode, FluxEncode, FluxDenoise, FluxDecode, VideoCombine)
}

NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "FluxLoader": "FLUX Loader",
    "FluxPromptEncode": "FLUX Prompt Encode",
    "FluxEncode": "FLUX Encode Image",
    "FluxDenoise": "FLUX Denoise",
    "FluxDecode": "FLUX Decode",
    "VideoCombine": "Video Combine",
}
