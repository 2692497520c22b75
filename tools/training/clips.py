"""The world of a small Wan: one shape on a background that moves, grows or shrinks for nine frames; its captions and its judge."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from advanced_models.demo.captions import words
from advanced_models.demo.shapes import SIDE, Drawing, Scene, draw, scenes, varied

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

FRAMES = 9
_WAY = 18.0
"""Pixels from the first frame to the last."""
_GROWTH = 1.9
"""Largest radius over the smallest."""
MOTIONS = {
    "left": "moves to the left",
    "right": "moves to the right",
    "up": "moves up",
    "down": "moves down",
    "grow": "grows",
    "shrink": "shrinks",
}
"""By motion, how a caption says it."""
_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class Clip:
    """What one clip shows; the shape is of medium size, and the middle of its way is the middle of the picture."""

    scene: Scene
    motion: str


def clips(count: int, rng: random.Random, *, unseen: bool) -> list[Clip]:
    """Random clips, of the combinations that were held out or of all others."""
    still = (Scene(scene.shape, scene.colour, scene.background) for scene in scenes(count, rng, unseen=unseen))
    return [Clip(scene, rng.choice(list(MOTIONS))) for scene in still]


def clip_caption(clip: Clip) -> str:
    """The clip in words: `a red circle moves to the left on a blue background`."""
    known = words("en")
    colour, shape = known["colour"][clip.scene.colour], known["shape"][clip.scene.shape]
    article = "an" if colour[0] in "aeiou" else "a"
    return f"{article} {colour} {shape} {MOTIONS[clip.motion]} on {known['background'][clip.scene.background]} background"


def draw_clips(shown: Sequence[Clip], rng: random.Random, *, spread: float = 1.0) -> torch.Tensor:
    """Clips [B, 3, 9, 64, 64] of float32 0..1."""
    frames = [frame for clip in shown for frame in _frames(clip, varied(clip.scene, rng, spread=spread))]
    return draw(frames).reshape(len(shown), FRAMES, 3, SIDE, SIDE).movedim(1, 2)


def _frames(clip: Clip, middle: Drawing) -> list[Drawing]:
    """Nine drawings, `middle` the fifth of them."""
    shares = [frame / (FRAMES - 1) - 0.5 for frame in range(FRAMES)]
    if clip.motion in _STEPS:
        across, down = _STEPS[clip.motion]
        return [replace(middle, x=middle.x + across * _WAY * share, y=middle.y + down * _WAY * share) for share in shares]
    sign = 1 if clip.motion == "grow" else -1
    return [replace(middle, radius=middle.radius * _GROWTH ** (sign * share)) for share in shares]


def motion_of(video: NDArray[np.float32]) -> str:
    """What a video [T, 64, 64, 3] with values 0..1 does, from where its shape is, and how large, in the first frame and the last."""
    (x_first, y_first, side_first), (x_last, y_last, side_last) = (_extent(video[frame]) for frame in (0, -1))
    growth = np.log(max(side_last, 1.0) / max(side_first, 1.0)) / np.log(_GROWTH)
    across, down = (x_last - x_first) / _WAY, (y_last - y_first) / _WAY
    strengths = {"right": across, "left": -across, "down": down, "up": -down, "grow": growth, "shrink": -growth}
    return max(strengths, key=lambda motion: float(strengths[motion]))


def _extent(frame: NDArray[np.float32]) -> tuple[float, float, float]:
    """Middle (x, y) and side, in pixels, of what differs from the border."""
    border = np.concatenate([frame[:2].reshape(-1, 3), frame[-2:].reshape(-1, 3)])
    distance = np.linalg.norm(frame - np.median(border, axis=0), axis=-1)
    inside = distance > 0.5 * np.quantile(distance, 0.98)
    rows, columns = np.nonzero(inside)
    return float(columns.mean()), float(rows.mean()), float(np.sqrt(inside.sum()))


def stills(count: int, rng: random.Random) -> torch.Tensor:
    """Pictures [B, 3, 1, 64, 64] in 0..1 of seen combinations, anywhere within the clips' ways."""
    drawn = [varied(scene, rng, spread=9.0) for scene in scenes(count, rng, unseen=False)]
    return draw(drawn)[:, :, None]
