"""What the small Qwen2.5-VL is shown and asked in training: pictures as its processor gives them, and talks about them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from advanced_models.demo.captions import any_caption, caption, words
from advanced_models.demo.questions import LANGUAGES, TOPICS, answer, question
from advanced_models.demo.shapes import COLOURS, Drawing, Scene, draw, held_out, varied
from advanced_models.pipelines.qwen_vl_presets import OWN_QUESTION, instruction

if TYPE_CHECKING:
    import torch

PATCHES = 16
"""Of a picture of 64x64, which the processor scales to 56x56; two by two they make four tokens."""
TOKENS = PATCHES // 4
_NAMES = {"en": "English", "zh": "Chinese"}
_SIDE, _PATCH = 56, 14


@dataclass(frozen=True)
class Talk:
    """One question about a scene (or an idea in words, without a picture) and its answer."""

    asked: str
    answer: str


def pictures(shown: Sequence[Scene], rng: random.Random, *, any_colours: bool = False) -> torch.Tensor:
    """Pictures [B, 3, 64, 64] in 0..1 of the scenes: a half as drawn, others blurred and noisy, as a picture out of a VAE is.

    With `any_colours` they have others than the scenes say, and shape, place and size alone are theirs.
    """
    import torch
    from torch.nn.functional import avg_pool2d, pad

    drawn = [varied(scene, rng, spread=rng.choice((1.0, 3.0))) for scene in shown]
    sharp = draw([_in_any_colours(drawing, rng) for drawing in drawn] if any_colours else drawn)
    smooth = avg_pool2d(pad(sharp, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.tensor([rng.choice((0.0, 0.0, 0.5, 1.0)) for _ in shown])[:, None, None, None]
    noise = torch.tensor([rng.choice((0.0, 0.0, 0.02, 0.05)) for _ in shown])[:, None, None, None]
    return (sharp + share * (smooth - sharp) + noise * torch.randn_like(sharp)).clamp(0, 1)


def _in_any_colours(drawing: Drawing, rng: random.Random) -> Drawing:
    """The drawing in two colours that differ, and that are nearest to no combination that is held out."""
    while True:
        colour, background = (tuple(rng.uniform(0, 255) for _ in range(3)) for _ in range(2))
        if math.dist(colour, background) > 90 and (drawing.shape, _nearest(colour), _nearest(background)) not in held_out():
            return replace(drawing, colour=colour, background=background)


def _nearest(colour: tuple[float, ...]) -> str:
    return min(COLOURS, key=lambda name: math.dist(COLOURS[name], colour))


def patches(shown: torch.Tensor, processor: dict[str, Any]) -> torch.Tensor:
    """What Qwen2-VL's image processor makes of the pictures: [B * 16, 1176], four neighbours after one another."""
    import torch
    from torch.nn.functional import interpolate

    small = interpolate(shown, (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, deviation = (torch.tensor(processor[name])[:, None, None] for name in ("image_mean", "image_std"))
    normal = (small - mean) / deviation
    batch, merged = len(normal), _SIDE // _PATCH // 2
    cut = normal.reshape(batch, 3, merged, 2, _PATCH, merged, 2, _PATCH).permute(0, 2, 5, 3, 6, 1, 4, 7)
    # A picture is two equal frames.
    return cut[:, :, :, :, :, :, None].expand(-1, -1, -1, -1, -1, -1, 2, -1, -1).reshape(batch * PATCHES, -1)


def any_question(scene: Scene, rng: random.Random) -> Talk:
    """A question in either language; now and then the answer is asked for in the other one."""
    asked_in, topic = rng.choice(LANGUAGES), rng.choice(TOPICS)
    text = question(topic, scene, asked_in, rng)
    if rng.random() < 0.85:
        return Talk(text, answer(topic, scene, asked_in))
    answered_in = rng.choice(LANGUAGES)
    return Talk(instruction(OWN_QUESTION, text, _NAMES[answered_in], subject="the picture"), answer(topic, scene, answered_in))


def any_question_of_form(scene: Scene, rng: random.Random) -> Talk:
    """A question whose answer is the same in other colours."""
    language, topic = rng.choice(LANGUAGES), rng.choice(("shape", "shape", "position", "size"))
    return Talk(question(topic, scene, language, rng), answer(topic, scene, language))


def any_description(scene: Scene, rng: random.Random) -> Talk:
    """One of the presets that ask for a description."""
    preset = rng.choice(("describe", "describe", "describe in detail", "FLUX prompt", "FLUX prompt"))
    language = rng.choice(("as asked", "English", "Chinese"))
    return Talk(instruction(preset, "", language, subject="the picture"), caption(scene, "zh" if language == "Chinese" else "en"))


def any_idea(scene: Scene, rng: random.Random) -> Talk:
    """An idea in a few words, of which the preset for FLUX makes a caption."""
    known = words("en")
    size, colour, shape = known["size"][scene.size], known["colour"][scene.colour], known["shape"][scene.shape]
    position, background = known["position"][scene.position], known["colour"][scene.background]
    ideas = (f"{size}{colour} {shape}{position}, {background} background", f"{background} background, {size}{colour} {shape}{position}")
    idea = rng.choice((*ideas, any_caption(scene, rng)))
    language = rng.choice(("as asked", "English"))
    return Talk(instruction("FLUX prompt", idea, language, subject=None), caption(scene, "en"))
