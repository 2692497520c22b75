"""Pictures and videos as Qwen-VL takes them: how large, and how many frames."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

TOKEN_SIDE = 28
"""Pixels of an image token's side in Qwen2.5-VL (patches of 14, merged two by two); limits are counted in these for every model."""
FEWEST_TOKENS, MOST_TOKENS = 256, 1280
"""The range of tokens a picture that Qwen's model cards recommend as a balance of memory and detail."""
MOST_FRAMES = 768
"""Frames of a video (FPS_MAX_FRAMES of Qwen's own qwen_vl_utils)."""
FRAMES_A_SECOND = 2
"""FPS there."""
FRAME_TOKENS = 768
"""Most tokens for a frame (VIDEO_MAX_PIXELS there)."""


@dataclass(frozen=True)
class Clip:
    """Frames [T, C, H, W] in uint8, so many a second."""

    frames: torch.Tensor
    rate: float


def to_picture(image: torch.Tensor, most_pixels: int, fewest_pixels: int, factor: int) -> Image:
    """A picture [H, W, C] with values 0..1 as PIL, scaled where it is larger or smaller than the limits.

    What lies within them is left to the model's own processor.
    """
    from PIL import Image

    values = (image[..., :3].float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    picture = Image.fromarray(values)
    height, width = image.shape[:2]
    if fewest_pixels <= height * width <= most_pixels:
        return picture
    new_height, new_width = fit(height, width, most_pixels, fewest_pixels, factor)
    return picture.resize((new_width, new_height), Image.Resampling.BICUBIC)


def fit(height: int, width: int, most_pixels: int, fewest_pixels: int, factor: int) -> tuple[int, int]:
    """The nearest size of the same proportions within the limits, in multiples of `factor` (smart_resize of Qwen2-VL's processor)."""
    pixels = height * width
    if pixels > most_pixels:
        scale = math.sqrt(pixels / most_pixels)
        return tuple(max(factor, math.floor(side / scale / factor) * factor) for side in (height, width))  # type: ignore[return-value]
    scale = math.sqrt(max(fewest_pixels / pixels, 1))
    return tuple(max(factor, math.ceil(side * scale / factor) * factor) for side in (height, width))  # type: ignore[return-value]


def most_pixels(config: dict[str, Any], free_bytes: int, pictures: int) -> int:
    """Pixels that each of `pictures` may have so that reading them takes at most half of the free memory, within the recommended range.

    Counted for bf16 and one token of 28x28: what a vision block and a language block hold at once (queries, keys, values, output and the
    two halves of the gated MLP), and the keys and values that stay for every layer while the answer is written.
    """
    text, vision = config.get("text_config", config), config["vision_config"]
    heads = text["num_attention_heads"]
    head = text.get("head_dim") or text["hidden_size"] // heads
    in_vision = 4 * (4 * vision["hidden_size"] + 2 * vision["intermediate_size"])
    in_language = 4 * text["hidden_size"] + 2 * text["intermediate_size"]
    kept = 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * head
    tokens = free_bytes // 2 // (2 * (max(in_vision, in_language) + kept)) // max(pictures, 1)
    return int(min(max(tokens, FEWEST_TOKENS), MOST_TOKENS)) * TOKEN_SIDE**2


def sample(chunks: Iterable[torch.Tensor], source_rate: float, wanted_rate: float, pixels: int, factor: int) -> Clip:
    """Frames [n, H, W, C] of a video, in display order, thinned to `wanted_rate` a second and to at most `MOST_FRAMES`.

    Raises UserError for a video without frames.
    """
    import torch

    kept: list[torch.Tensor] = []
    step = max(source_rate / wanted_rate, 1.0)
    index, following = 0, 0.0
    for chunk in chunks:
        for frame in chunk:
            if index >= following:
                kept.append(_frame(frame, pixels, factor))
                following += step
                if len(kept) > MOST_FRAMES:
                    # Longer than thought: every other frame, from the beginning on.
                    kept, step = kept[::2], 2 * step
                    following = (len(kept)) * step
            index += 1
    if not kept:
        raise UserError("The video has no frames.")
    if len(kept) % 2:
        kept.append(kept[-1])  # the model reads frames in pairs
    return Clip(torch.stack(kept), source_rate / step)


def _frame(frame: torch.Tensor, pixels: int, factor: int) -> torch.Tensor:
    import numpy
    import torch

    picture = to_picture(frame, pixels, 0, factor)
    return torch.from_numpy(numpy.asarray(picture).copy()).permute(2, 0, 1)
