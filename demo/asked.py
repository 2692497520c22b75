"""What the examples are asked when trained small models run them: sentences of the models' own language, and a picture of their world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .clips import FRAMES
from .shapes import SIDE, Scene, draw, exact
from .trained import STEPS, WAN

PICTURE = "shape.png"
"""In the input folder, see `draw_start`."""
START = Scene("square", "red", "white")

_FLUX = {"FluxDenoise.width": SIDE, "FluxDenoise.height": SIDE, "FluxDenoise.steps": STEPS}
_PICTURE = {"LoadImage.image": PICTURE}
_SIZE = {"width": SIDE, "height": SIDE, "frames": FRAMES}
_WAN = {
    **{f"{node}.{name}": value for node in ("WanDenoise", "WanImageEncode") for name, value in _SIZE.items()},
    "WanDenoise.steps": STEPS,
    "WanDenoise.guidance": 1.0,
    "VideoCombine.frame_rate": 8.0,
}

VALUES: dict[str, dict[str, Any]] = {
    "flux_text_to_image": {**_FLUX, "FluxPromptEncode.prompt": "a large red circle on the left on a blue background"},
    "flux_vram_guard": {**_FLUX, "FluxPromptEncode.prompt": "ein gelber Stern auf schwarzem Hintergrund"},
    "flux_image_to_image": {
        **_FLUX,
        **_PICTURE,
        "FluxPromptEncode.prompt": "a purple star on a white background",
        "FluxDenoise.denoise": 0.8,
    },
    "flux_inpaint": {**_FLUX, **_PICTURE, "FluxPromptEncode.prompt": "a blue circle on a white background", "FluxDenoise.denoise": 1.0},
    "chat_to_flux": {**_FLUX, "QwenVLChat.prompt": "green ring, black background", "QwenVLChat.max_new_tokens": 32},
    "wan_text_to_video": {
        **_WAN,
        "WanLoader.model": WAN,  # from text, too: of the Wan 2.1 that the example names there is no trained small one
        "WanPromptEncode.prompt": "a yellow star moves to the right on a purple background",
    },
    "wan_5b_image_to_video": {**_WAN, **_PICTURE, "WanPromptEncode.prompt": "a red square moves up on a white background"},
    "qwen_caption": {**_PICTURE, "QwenVLChat.max_new_tokens": 32},
}
"""By example: `NODE.INPUT`, and its value there."""


def draw_start(file: Path) -> None:
    """Write the picture that examples start from: `START`, transparent (which LoadImage gives out as the mask) around its shape."""
    from PIL import Image, ImageDraw

    pixels = (draw([exact(START)])[0].movedim(0, -1) * 255).round().byte().numpy()
    picture = Image.fromarray(pixels).convert("RGBA")
    opaque = Image.new("L", picture.size, 255)
    ImageDraw.Draw(opaque).rectangle((10, 10, SIDE - 11, SIDE - 11), fill=0)
    picture.putalpha(opaque)
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)
