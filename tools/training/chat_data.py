"""What the small Qwen2.5-VL is shown and asked in training: pictures as its processor gives them, and talks about them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from advanced_models.demo.captions import any_caption, caption, words
from advanced_models.demo.questions import LANGUAGES, TOPICS, answer, question
from advanced_models.demo.shapes import COLOURS, SHAPES, Drawing, Scene, coverage, draw, held_out, scenes, varied
from advanced_models.pipelines.qwen_vl_presets import OWN_QUESTION, instruction

if TYPE_CHECKING:
    import torch

PATCHES = 16
"""Of a picture of 64x64, which the processor scales to 56x56; two by two they make four tokens."""
TOKENS = PATCHES // 4
_NAMES = {"en": "English", "zh": "Chinese"}
_SIDE, _PATCH = 56, 14
_OUT_OF_VAE = 2
"""Every how many pictures."""
_SHADE = 20
"""How far a colour of a shape without a name may be from the named one, in each channel: nearer than to any other."""
_LATENT_NOISE = 0.2
"""The most of it, in spreads of the latents."""


@dataclass(frozen=True)
class Talk:
    """One question about a scene (or an idea in words, without a picture) and its answer."""

    asked: str
    answer: str
    uncounted: str = ""
    """`shape` or `colour`: such words of the answer are not for the picture it is shown, and nothing is learnt from them."""


def pictures(shown: Sequence[Scene], rng: random.Random, *, told: str = "all", vae: Any = None) -> torch.Tensor:
    """Pictures [B, 3, 64, 64] in 0..1 of the scenes: a half as drawn, others blurred and noisy, as a picture out of a VAE is.

    What is `told` of them stays as the scenes say. `all`: every word does. `form`: colours are others, and shape, place and size alone are
    theirs. `colour`: the shape is none that has a name. With `vae` every second of `all` is as it gives it back.
    """
    import torch
    from torch.nn.functional import avg_pool2d, pad

    drawn = [varied(scene, rng, spread=rng.choice((1.0, 3.0))) for scene in shown]
    if told == "colour":
        sharp = _pierced(drawn, rng)
    else:
        sharp = draw([_in_any_colours(drawing, rng) for drawing in drawn] if told == "form" else drawn)
    smooth = avg_pool2d(pad(sharp, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.tensor([rng.choice((0.0, 0.0, 0.5, 1.0)) for _ in shown])[:, None, None, None]
    noise = torch.tensor([rng.choice((0.0, 0.0, 0.02, 0.05)) for _ in shown])[:, None, None, None]
    seen = (sharp + share * (smooth - sharp) + noise * torch.randn_like(sharp)).clamp(0, 1)
    if vae is not None and told == "all":
        # It knows no other colours and shapes, and might make of them what is held out.
        seen[::_OUT_OF_VAE] = through(vae, sharp[::_OUT_OF_VAE])
    return seen


def through(vae: Any, sharp: torch.Tensor) -> torch.Tensor:
    """Pictures as the small FLUX would draw them: encoded, a little noise as sampling leaves it, decoded."""
    import torch

    with torch.no_grad():
        latents = vae.encode(sharp * 2 - 1).latent_dist.mean
        noise = _LATENT_NOISE / vae.config.scaling_factor * torch.rand(len(sharp), 1, 1, 1)
        made: torch.Tensor = vae.decode(latents + noise * torch.randn_like(latents)).sample
        return (made / 2 + 0.5).clamp(0, 1)


def any_pairs(count: int, rng: random.Random) -> list[Scene]:
    """Scenes in any two colours, also those that are held out for their shapes: to be drawn in shapes that are none of those."""
    return [
        replace(scene, **dict(zip(("colour", "background"), rng.sample(list(COLOURS), 2), strict=True)))
        for scene in scenes(count, rng, unseen=False)
    ]


def _pierced(drawn: Sequence[Drawing], rng: random.Random) -> torch.Tensor:
    """The drawings' colours in shapes that have no name: squares, triangles and stars with a hole, some of which is as thin as a ring."""
    import torch

    outer = [replace(drawing, shape=rng.choice(("square", "triangle", "star"))) for drawing in drawn]
    holes = [replace(drawing, shape=rng.choice(SHAPES[:4]), radius=drawing.radius * rng.uniform(0.25, 0.55)) for drawing in outer]
    share = (coverage(outer) * (1 - coverage(holes)))[:, None]
    colour, background = (
        torch.tensor([[value + rng.uniform(-_SHADE, _SHADE) for value in getattr(drawing, name)] for drawing in drawn])
        for name in ("colour", "background")
    )
    return ((share * colour[:, :, None, None] + (1 - share) * background[:, :, None, None]) / 255).clamp(0, 1)


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
    """A question whose answer is the same in other colours, but for the words of colours in a sentence."""
    language, topic = rng.choice(LANGUAGES), rng.choice(("shape", "shape", "position", "size", "all", "all"))
    return Talk(question(topic, scene, language, rng), answer(topic, scene, language), "colour")


def any_question_of_colour(scene: Scene, rng: random.Random) -> Talk:
    """A question that does not name the shape, and whose answer is the same for another one, but for its name in a sentence."""
    language, topic = rng.choice(LANGUAGES), rng.choice(("colour", "colour", "colour", "background", "all", "all"))
    text = question(topic, scene, language, rng)
    while words(language)["shape"][scene.shape] in text:
        text = question(topic, scene, language, rng)
    return Talk(text, answer(topic, scene, language), "shape")


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
