"""Says what a picture of one shape shows, from geometry alone: the judge of the trained small models.

It knows nothing of how pictures are drawn. The background is the colour of the border, the shape is what differs from it, and the shape's
name follows from how it fills the box around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .shapes import COLOURS, POSITIONS, SIZES, Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CLEAR = 0.5
"""A pixel belongs to the shape when its colour lies at least so far along the way from the background's to the shape's."""


def classify(picture: NDArray[np.float32]) -> Scene | None:
    """What the picture [64, 64, 3] with values 0..1 shows; None where no shape stands out from the background."""
    pixels = np.clip(picture.astype(np.float64), 0, 1) * 255
    border = np.concatenate([pixels[:3].reshape(-1, 3), pixels[-3:].reshape(-1, 3)])
    background = np.median(border, axis=0)
    distance = np.linalg.norm(pixels - background, axis=-1)
    strongest = distance >= max(0.8 * np.quantile(distance, 0.98), 30)
    if strongest.sum() < 12:
        return None
    foreground = np.median(pixels[strongest], axis=0)
    direction = foreground - background
    share = (pixels - background) @ direction / (direction @ direction)
    inside = share >= _CLEAR
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows) or not len(columns):
        return None
    box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    middle = (columns[0] + columns[-1] + 1) / 2
    return Scene(
        _shape(box),
        _nearest(foreground),
        _nearest(background),
        min(POSITIONS, key=lambda name: abs(POSITIONS[name] - middle)),
        min(SIZES, key=lambda name: abs(2 * SIZES[name] - box.shape[1])),
    )


def _shape(box: NDArray[np.bool_]) -> str:
    """A box around a square is full, around a disc to pi/4, around a triangle to a half, around a star less, or it has a hole."""
    height, width = box.shape
    core = box[height * 2 // 5 : height * 3 // 5 + 1, width * 2 // 5 : width * 3 // 5 + 1]
    filled = float(box.mean())
    if core.mean() < 0.5:
        return "ring"
    if filled > 0.9:
        return "square"
    if filled > 0.66:
        return "circle"
    # A triangle is widest at its foot, a star at its arms.
    widths = box.sum(1)
    return "triangle" if widths[-height // 5 :].mean() > widths[height // 4 : height // 2].mean() * 1.3 else "star"


def _nearest(colour: NDArray[np.float64]) -> str:
    return min(COLOURS, key=lambda name: float(np.linalg.norm(np.array(COLOURS[name]) - colour)))
