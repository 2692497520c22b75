"""One picture of what the trained small models do: prompts drawn, pictures changed and painted anew in part, videos, and what is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..loaders.precision import Precision
from .captions import caption
from .clips import Clip, clip_caption
from .shapes import SIDE, Scene, draw, exact
from .trained import QWEN_VL, ask, film, paint, trained_models

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

_PROMPTS = (
    (Scene("circle", "red", "blue", "left", "large"), "en"),
    (Scene("star", "yellow", "black"), "en"),
    (Scene("triangle", "green", "white", "right"), "en"),
    (Scene("ring", "orange", "purple", size="small"), "en"),
    (Scene("square", "red", "yellow"), "de"),
    (Scene("ring", "black", "yellow", "left"), "de"),
    (Scene("square", "purple", "yellow"), "zh"),
    (Scene("triangle", "white", "red", "right", "large"), "zh"),
)
"""Scenes and the languages of their prompts: German ones without umlauts, which Pillow's own font lacks, as it does Chinese."""
_START = Scene("square", "red", "white")
_CHANGED = Scene("star", "purple", "white")
_PRECISION: Precision = "fp32"  # three times as fast as bf16 on a processor that computes in the former alone
_STRENGTHS = (0.3, 0.5, 0.7, 0.8, 0.9)
_CLIPS = (Clip(Scene("star", "yellow", "purple"), "right"), Clip(Scene("ring", "blue", "white"), "grow"))
_FRAMES = (0, 3, 6, 8)
"""Shown of each video."""
_ACROSS = 4
_SHOWN = 128
"""Pixels of a picture's side in the sheet."""
_GAP, _LINE = 12, 13
_LINES = 4


def write_contact_sheet(file: Path) -> None:
    """Draw it all and write the sheet as a PNG. The host of the process must search `trained.MODELS`."""
    import torch
    from PIL import Image

    tiles = [*_prompts(), *_image_to_image(), *_inpainting(), *_videos()]
    width = _SHOWN + _GAP
    height = _SHOWN + _GAP + _LINES * _LINE
    rows = -(-len(tiles) // _ACROSS)
    sheet = Image.new("RGB", (_ACROSS * width + _GAP, rows * height + _GAP), "white")
    with torch.inference_mode():
        for index, (picture, text) in enumerate(tiles):
            _put(sheet, picture, text, (_GAP + index % _ACROSS * width, _GAP + index // _ACROSS * height))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


def _prompts() -> list[tuple[torch.Tensor, str]]:
    """Each prompt's picture; where the small Qwen2.5-VL is here, what it says of it."""
    pictures = paint([caption(scene, language) for scene, language in _PROMPTS], seed=1, precision=_PRECISION)
    tiles = []
    for picture, (scene, language) in zip(pictures, _PROMPTS, strict=True):
        asked = f"in Chinese: {caption(scene)}" if language == "zh" else caption(scene, language)
        seen = f"\nseen: {ask(picture, 'Describe the picture.')}" if QWEN_VL in trained_models() else ""
        tiles.append((picture, asked + seen))
    return tiles


def _image_to_image() -> list[tuple[torch.Tensor, str]]:
    start = draw([exact(_START)]).movedim(1, -1)
    made = [paint([caption(_CHANGED)], seed=1, precision=_PRECISION, picture=start, strength=strength)[0] for strength in _STRENGTHS]
    texts = [f"{caption(_CHANGED)}, strength {strength}" for strength in _STRENGTHS]
    return [(start[0], "image to image: the start"), *zip(made, texts, strict=True)]


def _inpainting() -> list[tuple[torch.Tensor, str]]:
    import torch

    scene = Scene("circle", "blue", "white")
    start = draw([exact(_START)]).movedim(1, -1)
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 8:-8, 8:-8] = 1
    made = paint([caption(scene)], seed=1, precision=_PRECISION, picture=start, mask=mask)[0]
    shown = start[0] * (1 - 0.6 * mask[0, ..., None])
    return [(shown, "inpainting: the start and its mask"), (made, caption(scene))]


def _videos() -> list[tuple[torch.Tensor, str]]:
    """Frames of videos from text, and of one from the picture that image to image starts with."""
    prompts = [(clip_caption(clip), None) for clip in _CLIPS] + [
        (clip_caption(Clip(_START, "up")), draw([exact(_START)])[0].movedim(0, -1))
    ]
    tiles = []
    for prompt, start in prompts:
        video = film(prompt, seed=1, picture=start, precision=_PRECISION)
        how = "text" if start is None else "image"
        tiles += [(video[frame], f"{how} to video: {prompt}, frame {frame + 1} of {len(video)}") for frame in _FRAMES]
    return tiles


def _put(sheet: Image, picture: torch.Tensor, text: str, place: tuple[int, int]) -> None:
    from PIL import Image, ImageDraw
    from PIL.ImageFont import load_default

    pixels = (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()
    sheet.paste(Image.fromarray(pixels).resize((_SHOWN, _SHOWN), Image.Resampling.NEAREST), place)
    drawn, font = ImageDraw.Draw(sheet), load_default(10)
    lines = [line for part in text.split("\n") for line in _wrapped(part, font)]
    for number, line in enumerate(lines[:_LINES]):
        drawn.text((place[0], place[1] + _SHOWN + 2 + number * _LINE), line, fill=(40, 40, 40), font=font)


def _wrapped(text: str, font: FreeTypeFont | ImageFont) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= _SHOWN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
