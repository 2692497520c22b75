"""The world of the small Wan: the shape of a scene begins in the middle and moves, grows or shrinks for nine frames; captions and judge."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .captions import article, words
from .shapes import SIDE, Drawing, Scene, draw, scenes, varied

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

FRAMES = 9
_WAY = 14.0
"""Pixels from the first frame to the last."""
_GROWTH = 1.6
"""Larger radius over the smaller."""
MOTIONS = {
    "left": ("moves to the left", "moving left"),
    "right": ("moves to the right", "moving right"),
    "up": ("moves up", "moving up"),
    "down": ("moves down", "moving down"),
    "grow": ("grows", "growing"),
    "shrink": ("shrinks", "shrinking"),
}
"""By motion, how captions say it."""
WORDINGS = 2
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class Clip:
    """What one clip shows: a scene, of a shape of medium size in the centre, is its first frame."""

    scene: Scene
    motion: str


def clips(count: int, rng: random.Random, *, unseen: bool) -> list[Clip]:
    """Random clips, of the combinations of shape, colour and background that were held out or of all others."""
    still = (Scene(scene.shape, scene.colour, scene.background) for scene in scenes(count, rng, unseen=unseen))
    return [Clip(scene, rng.choice(list(MOTIONS))) for scene in still]


def clip_caption(clip: Clip, wording: int = 0) -> str:
    """The clip in words: `a red circle moves to the left on a blue background`."""
    known = words("en")
    colour, shape = known["colour"][clip.scene.colour], known["shape"][clip.scene.shape]
    return f"{article(colour)} {colour} {shape} {MOTIONS[clip.motion][wording]} on {known['background'][clip.scene.background]} background"


def draw_clips(shown: Sequence[Clip], rng: random.Random, *, spread: float = 1.0) -> torch.Tensor:
    """Clips [B, 3, 9, 64, 64] of float32 0..1, each with small differences of place, size and colour."""
    frames = [frame for clip in shown for frame in _frames(clip.motion, varied(clip.scene, rng, spread=spread))]
    return draw(frames).reshape(len(shown), FRAMES, 3, SIDE, SIDE).movedim(1, 2)


def _frames(motion: str, first: Drawing) -> list[Drawing]:
    shares = [frame / (FRAMES - 1) for frame in range(FRAMES)]
    if motion in _DIRECTIONS:
        across, down = _DIRECTIONS[motion]
        return [replace(first, x=first.x + across * _WAY * share, y=first.y + down * _WAY * share) for share in shares]
    growth = _GROWTH if motion == "grow" else 1 / _GROWTH
    return [replace(first, radius=first.radius * growth**share) for share in shares]


def motion_of(video: NDArray[np.float32]) -> str | None:
    """What a video [T, 64, 64, 3] with values 0..1 does, from where its shape is, and how large, in the first frame and the last.

    None where nothing goes a third of the way, or there is no shape.
    """
    first, last = _extent(video[0]), _extent(video[-1])
    if first is None or last is None:
        return None
    growth = float(np.log(last[2] / first[2]) / np.log(_GROWTH))
    across, down = (last[0] - first[0]) / _WAY, (last[1] - first[1]) / _WAY
    strengths = {"right": across, "left": -across, "down": down, "up": -down, "grow": growth, "shrink": -growth}
    strongest = max(strengths, key=lambda motion: strengths[motion])
    return strongest if strengths[strongest] > 1 / 3 else None


def _extent(frame: NDArray[np.float32]) -> tuple[float, float, float] | None:
    """Centroid (x, y) and the square root of the area, in pixels, of what differs from the border; None where nothing does."""
    border = np.concatenate([frame[:2].reshape(-1, 3), frame[-2:].reshape(-1, 3)])
    distance = np.linalg.norm(frame - np.median(border, axis=0), axis=-1)
    inside = distance > max(0.5 * float(np.quantile(distance, 0.98)), 0.1)
    rows, columns = np.nonzero(inside)
    return (float(columns.mean()), float(rows.mean()), float(np.sqrt(len(rows)))) if len(rows) else None
