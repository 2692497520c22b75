"""Plain test pictures for the examples that read one."""

from __future__ import annotations

from pathlib import Path

SIDE = 512
"""Pixels. A multiple of 16, as FLUX asks of its pictures."""

_SUN = (352, 64, 448, 160)
"""The corners of the disc that is transparent: x and y from, x and y to."""


def draw_example(file: Path) -> None:
    """Write a picture of coloured shapes as a PNG with alpha, `SIDE` x `SIDE`, creating its folder.

    A disc in the sky is transparent. LoadImage shows it in its own colour and gives it out as the mask, so one
    picture serves image to image and inpainting.
    """
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIDE, SIDE), (140, 190, 235))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 360, SIDE, SIDE), fill=(90, 160, 80))
    draw.rectangle((80, 260, 220, 400), fill=(200, 70, 60))
    draw.polygon([(60, 260), (240, 260), (150, 160)], fill=(70, 60, 110))
    draw.ellipse((300, 300, 430, 430), fill=(240, 160, 40))
    draw.ellipse(_SUN, fill=(250, 250, 250))
    opaque = Image.new("L", (SIDE, SIDE), 255)
    ImageDraw.Draw(opaque).ellipse(_SUN, fill=0)
    picture.putalpha(opaque)
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)
