"""What the small Wan is measured by, and what the page says of it."""

from __future__ import annotations

import random
from typing import Any

from advanced_models.demo.classifier import classify
from advanced_models.demo.clips import MOTIONS, clip_caption, clips, motion_of
from advanced_models.demo.shapes import draw, varied

_ASPECTS = ("shape", "colour", "background")
_TITLES = {"wan": "text to video", "wan image to video": "image to video, from a drawn still"}


def measure(count: int, *, from_image: bool) -> dict[str, Any]:
    """Shares of prompts whose motion is as asked, by motion and in all; and whether the last frame still shows what was asked."""
    from advanced_models.demo import trained

    rng = random.Random(91)
    asked = clips(count, rng, unseen=True)
    right: dict[str, list[bool]] = {motion: [] for motion in MOTIONS}
    kept: dict[str, list[bool]] = {aspect: [] for aspect in _ASPECTS}
    for seed, clip in enumerate(asked):
        still = draw([varied(clip.scene, rng)])[0].movedim(0, -1) if from_image else None
        video = trained.film(clip_caption(clip), seed=seed, picture=still, precision="fp32").numpy()
        right[clip.motion].append(motion_of(video) == clip.motion)
        seen = classify(video[-1])
        for aspect in _ASPECTS:
            kept[aspect].append(seen is not None and getattr(seen, aspect) == getattr(clip.scene, aspect))
    shares = {name: round(sum(found) / max(1, len(found)), 3) for name, found in (right | kept).items()}
    return {"count": count, "motion": round(sum(map(sum, right.values())) / count, 3)} | shares


def section(figures: dict[str, Any]) -> list[str]:
    """The page's part on videos, of what has been measured."""
    measured = {name: figures[name] for name in _TITLES if name in figures}
    if not measured:
        return []
    columns = ("motion", *MOTIONS, *_ASPECTS)
    parts = [
        "\n## Wan: videos\n\nNine frames at 8 steps, transformer in fp32: shares of prompts whose motion is as asked (from where the shape "
        "is, and how large, in the first and the last frame), in all and by motion; and whether the last frame shows what was asked.\n\n",
        f"| | of | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}\n",
    ]
    for name, found in measured.items():
        parts.append(f"| {_TITLES[name]} | {found['count']} | {' | '.join(f'{100 * found[column]:.1f} %' for column in columns)} |\n")
    return parts
