"""The world of the trained small models: one coloured shape on a coloured background, 64x64 pixels, and captions for it.

Pictures are drawn from a few words each, so there is as much data as anyone wants, under no licence but this project's own, and what a
picture shows is known exactly.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SIDE = 64
SHAPES = ("circle", "square", "triangle", "star", "ring")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 35, 40),
    "green": (40, 165, 70),
    "blue": (40, 75, 220),
    "yellow": (250, 215, 50),
    "purple": (140, 50, 180),
    "orange": (250, 135, 25),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
POSITIONS = {"left": 21.0, "centre": 32.0, "right": 43.0}
"""Where the shape's middle is, in pixels from the left."""
SIZES = {"small": 11.0, "medium": 15.0, "large": 19.0}
"""Radius in pixels."""


@dataclass(frozen=True)
class Scene:
    """What one picture shows."""

    shape: str
    colour: str
    background: str
    position: str = "centre"
    size: str = "medium"


@dataclass(frozen=True)
class Drawing:
    """A scene with its exact geometry (pixels) and colours (0..255)."""

    shape: str
    x: float
    y: float
    radius: float
    colour: tuple[float, float, float]
    background: tuple[float, float, float]


def combinations() -> list[tuple[str, str, str]]:
    """Every shape, colour and background that differ."""
    return [(s, c, b) for s, c, b in itertools.product(SHAPES, COLOURS, COLOURS) if c != b]


@cache
def held_out() -> frozenset[tuple[str, str, str]]:
    """A quarter of the combinations, which no stage of any training has seen together."""
    shuffled = combinations()
    random.Random(7).shuffle(shuffled)
    return frozenset(shuffled[:70])


def scenes(count: int, rng: random.Random, *, unseen: bool) -> list[Scene]:
    """Random scenes, of the combinations that were held out or of all others. Centre and medium are as frequent as the rest together."""
    pool = _pool(unseen)
    return [
        Scene(
            *rng.choice(pool),
            position=rng.choices(list(POSITIONS), weights=(1, 2, 1))[0],
            size=rng.choices(list(SIZES), weights=(1, 2, 1))[0],
        )
        for _ in range(count)
    ]


@cache
def _pool(unseen: bool) -> list[tuple[str, str, str]]:
    return [combination for combination in combinations() if (combination in held_out()) == unseen]


def exact(scene: Scene) -> Drawing:
    """The scene as its words say."""
    middle = SIDE / 2
    return Drawing(
        scene.shape,
        POSITIONS[scene.position],
        middle,
        SIZES[scene.size],
        COLOURS[scene.colour],
        COLOURS[scene.background],
    )


def varied(scene: Scene, rng: random.Random, *, spread: float = 1.0) -> Drawing:
    """The scene with small differences of place, size and colour, as no two pictures are alike."""
    drawing = exact(scene)

    def shade(colour: tuple[float, float, float]) -> tuple[float, float, float]:
        red, green, blue = (min(255.0, max(0.0, value + rng.uniform(-5, 5))) for value in colour)
        return red, green, blue

    return Drawing(
        drawing.shape,
        drawing.x + rng.uniform(-spread, spread),
        drawing.y + rng.uniform(-spread, spread),
        drawing.radius + rng.uniform(-0.8, 0.8),
        shade(drawing.colour),
        shade(drawing.background),
    )


def draw(drawings: Sequence[Drawing]) -> torch.Tensor:
    """Pictures [B, 3, 64, 64] of float32 0..1, with anti-aliased edges."""
    import torch

    foreground = torch.tensor([drawing.colour for drawing in drawings])[:, :, None, None] / 255
    background = torch.tensor([drawing.background for drawing in drawings])[:, :, None, None] / 255
    share = coverage(drawings)[:, None]
    return share * foreground + (1 - share) * background


def coverage(drawings: Sequence[Drawing]) -> torch.Tensor:
    """How much of each pixel the shape covers: [B, 64, 64], 0..1.

    The signed distance to the outline, cut at half a pixel on either side.
    """
    import torch

    down, across = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    result = torch.empty(len(drawings), SIDE, SIDE)
    for shape in SHAPES:
        rows = [row for row, drawing in enumerate(drawings) if drawing.shape == shape]
        if rows:
            geometry = torch.tensor([(drawings[row].x, drawings[row].y, drawings[row].radius) for row in rows])
            x, y, radius = (column[:, None, None] for column in geometry.T)
            result[rows] = (0.5 - _DISTANCES[shape](across - x, down - y, radius)).clamp(0, 1)
    return result


def _circle(x: torch.Tensor, y: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return (x * x + y * y).sqrt() - radius


def _square(x: torch.Tensor, y: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return x.abs().maximum(y.abs()) - 0.88 * radius


def _triangle(x: torch.Tensor, y: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    low = y - 0.12 * radius
    slope = math.sqrt(3) / 2
    inner = 0.62 * radius
    return (low - inner).maximum(slope * x - 0.5 * low - inner).maximum(-slope * x - 0.5 * low - inner)


def _star(x: torch.Tensor, y: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Five points, one up: the plane folded into a tenth of the circle, and the distance to that tenth's edge."""
    import torch

    tenth = math.pi / 5
    tip, notch = 1.12 * radius, 0.42 * 1.12 * radius
    angle = torch.remainder(torch.atan2(x, -y) + tenth, 2 * tenth) - tenth
    distance = (x * x + y * y).sqrt()
    along, aside = distance * angle.cos(), (distance * angle.sin()).abs()
    edge_x, edge_y = notch * math.cos(tenth) - tip, notch * math.sin(tenth)
    return ((along - tip) * edge_y - aside * edge_x) / (edge_x * edge_x + edge_y * edge_y).sqrt()


def _ring(x: torch.Tensor, y: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return ((x * x + y * y).sqrt() - 0.78 * radius).abs() - 0.24 * radius


_DISTANCES = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "ring": _ring}
