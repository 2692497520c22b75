"""Measure the trained small models and write `docs/small_models.md`: `python tools/measure_small_models.py [SECTION ...] [--count N]`.

Every section measures on combinations of shape, colour and background that no training has seen, and leaves its figures in
`docs/small_models.json`; without names all are measured again. The page, the curves and the contact sheet are written from what is there.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from advanced_models.demo.captions import caption, words
from advanced_models.demo.classifier import classify
from advanced_models.demo.questions import LANGUAGES, TOPICS, answer, question
from advanced_models.demo.shapes import SIDE, Scene, draw, scenes, varied
from advanced_models.demo.trained import STEPS
from advanced_models.loaders.component import AUTO_SOURCE
from training import measure_wan

if TYPE_CHECKING:
    import torch

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "small_models.json"
_BATCH = 20
_ASPECTS = ("shape", "colour", "background", "position", "size")
_STRENGTH = 0.8
_STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
_FEW_STEPS = 4
"""Half as many as elsewhere: processors compute slowly in bf16, which is what quantised weights are multiplied in."""
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--count", type=int, default=200, help="prompts or pictures a figure is measured on")
    parser.add_argument("--page", action="store_true", help="write the page from the figures that are there, and measure nothing")
    arguments = parser.parse_args()
    import advanced_models.host
    import torch
    from advanced_models.demo import trained
    from advanced_models.host.standalone import StandaloneHost
    from training.small_models_page import write_page

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        advanced_models.host.use(StandaloneHost.below(Path(folder), models=(trained.MODELS,)))
        figures: Figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
        for name in () if arguments.page else arguments.sections or SECTIONS:
            with torch.inference_mode():
                figures[name] = SECTIONS[name](arguments.count)
            print(name, json.dumps(figures[name], ensure_ascii=False), flush=True)
            FIGURES.parent.mkdir(exist_ok=True)
            FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        write_page(figures, DOCS)


def _text_to_image(language: str, count: int) -> Figures:
    wanted = scenes(count, random.Random(99), unseen=True)
    return _rates(wanted, _painted(wanted, language))


def _precision(precision: Any, count: int, source: str = AUTO_SOURCE) -> Figures:
    """Three prompts in ten of the English ones."""
    wanted = scenes(max(1, round(count * 0.3)), random.Random(99), unseen=True)
    return _rates(wanted, _painted(wanted, precision=precision, source=source, steps=_FEW_STEPS))


def _gguf(quantisation: str, count: int) -> Figures:
    """The same of a GGUF file that is written for it."""
    import advanced_models.host
    from advanced_models.demo import trained
    from advanced_models.host.standalone import StandaloneHost
    from advanced_models.loaders import bundled_configs
    from gguf_writer import copy_trained_config, write_trained_flux

    before = advanced_models.host.current(), bundled_configs.BUNDLED_CONFIGS
    with tempfile.TemporaryDirectory() as folder:
        models, configs = Path(folder) / "models", Path(folder) / "configs"
        source = write_trained_flux(models, quantisation)
        copy_trained_config(configs)
        advanced_models.host.use(StandaloneHost.below(Path(folder), models=(trained.MODELS, models)))
        bundled_configs.BUNDLED_CONFIGS = configs
        try:
            return _precision("auto", count, source)
        finally:
            advanced_models.host.use(before[0])
            bundled_configs.BUNDLED_CONFIGS = before[1]


def _image_to_image(count: int) -> Figures:
    """From a picture of another scene altogether."""
    wanted = scenes(count, random.Random(98), unseen=True)
    rng = random.Random(97)
    start = draw([varied(scene, rng) for scene in scenes(count, rng, unseen=False)]).movedim(1, -1)
    return _rates(wanted, _painted(wanted, picture=start, strength=_STRENGTH))


def _strengths(count: int) -> Figures:
    """How far the result is from the picture it started from, in the mean of all values of 0..1."""
    wanted = scenes(max(1, count // 10), random.Random(90), unseen=True)
    rng = random.Random(89)
    start = draw([varied(scene, rng) for scene in scenes(len(wanted), rng, unseen=False)]).movedim(1, -1)
    distances = {
        str(strength): round((_painted(wanted, picture=start, strength=strength) - start).abs().mean().item(), 4) for strength in _STRENGTHS
    }
    return {"count": len(wanted), "distances": distances}


def _inpainting(count: int) -> Figures:
    """Another shape within a box on the same background; what is outside is compared with the start as the VAE gives it back."""
    import torch
    from advanced_models.demo import trained
    from advanced_models.loaders.component import select_component
    from advanced_models.pipelines import flux

    wanted = [Scene(s.shape, s.colour, s.background, size=s.size) for s in scenes(count, random.Random(96), unseen=True)]
    rng = random.Random(95)
    others = [Scene(rng.choice(("circle", "square", "ring")), "white" if s.background != "white" else "red", s.background) for s in wanted]
    start = draw([varied(scene, rng) for scene in others]).movedim(1, -1)
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 8:-8, 8:-8] = 1
    made = _painted(wanted, picture=start, mask=mask)
    vae = select_component(trained.FLUX, "vae")
    kept = torch.cat([flux.decode(vae, flux.encode_image(vae, part).mean) for part in start.split(_BATCH)])
    outside = mask[0] == 0
    outside[6:-6, 6:-6] = False  # the VAE's convolutions reach a few pixels over the edge
    difference = (made - kept).abs().mean(-1)
    return _rates(wanted, made) | {
        "outside": round(difference[:, outside].mean().item(), 4),
        "inside": round(difference[:, ~outside].mean().item(), 4),
    }


def _lora(count: int) -> Figures:
    """How many shapes are purple with the LoRA at full strength, and whether strength 0 changes anything."""
    import torch

    wanted = [s for s in scenes(count, random.Random(94), unseen=True) if "purple" not in (s.colour, s.background)][: count // 4]
    with_lora = [classify(picture) for picture in _painted(wanted, lora=1.0).numpy()]
    right = [
        seen is not None and (seen.shape, seen.colour, seen.background) == (s.shape, "purple", s.background)
        for s, seen in zip(wanted, with_lora, strict=True)
    ]
    same = torch.equal(_painted(wanted[:4], lora=0.0), _painted(wanted[:4]))
    return {"count": len(wanted), "purple": round(sum(right) / len(right), 3), "strength 0 changes nothing": same}


def _answers(count: int) -> Figures:
    """Right answers to each topic in each language."""
    from advanced_models.demo import trained

    rng = random.Random(93)
    figures: Figures = {"count": count}
    for language in LANGUAGES:
        for topic in TOPICS:
            shown = scenes(max(1, count // 8), rng, unseen=True)
            pictures = draw([varied(scene, rng) for scene in shown]).movedim(1, -1)
            right = [
                trained.ask(picture, question(topic, scene, language, rng)) == answer(topic, scene, language)
                for scene, picture in zip(shown, pictures, strict=True)
            ]
            figures[f"{language} {topic}"] = round(sum(right) / len(right), 3)
    figures["all"] = round(sum(value for name, value in figures.items() if name != "count") / (len(figures) - 1), 3)
    return figures


def _loop(count: int) -> Figures:
    """A prompt drawn by the FLUX, described by the Qwen2.5-VL: the words of the prompt for shape, colour and background in the answer."""
    from advanced_models.demo import trained

    wanted = scenes(count // 2, random.Random(92), unseen=True)
    said = [trained.ask(picture, "Describe the picture.") for picture in _painted(wanted)]
    known = words("en")
    three = [
        f"{known['colour'][s.colour]} {known['shape'][s.shape]}" in text and f"on {known['background'][s.background]} background" in text
        for s, text in zip(wanted, said, strict=True)
    ]
    whole = [text == caption(s) for s, text in zip(wanted, said, strict=True)]
    return {"count": len(wanted), "three": round(sum(three) / len(three), 3), "sentence": round(sum(whole) / len(whole), 3)}


def _painted(
    wanted: Sequence[Scene],
    language: str = "en",
    *,
    precision: Any = "fp32",
    source: str = AUTO_SOURCE,
    steps: int = STEPS,
    picture: torch.Tensor | None = None,
    strength: float = 1.0,
    mask: torch.Tensor | None = None,
    lora: float | None = None,
) -> torch.Tensor:
    import torch
    from advanced_models.demo import trained

    made = []
    for start in range(0, len(wanted), _BATCH):
        part = slice(start, start + _BATCH)
        prompts = [caption(scene, language) for scene in wanted[part]]
        given = None if picture is None else picture[part]
        made.append(
            trained.paint(
                prompts,
                seed=start,
                steps=steps,
                precision=precision,
                source=source,
                picture=given,
                strength=strength,
                mask=mask,
                lora=lora,
            )
        )
    return torch.cat(made)


def _rates(wanted: Sequence[Scene], pictures: torch.Tensor) -> Figures:
    found = [classify(picture) for picture in pictures.numpy()]
    same = {
        aspect: [seen is not None and getattr(seen, aspect) == getattr(scene, aspect) for scene, seen in zip(wanted, found, strict=True)]
        for aspect in _ASPECTS
    }
    three = [all(right) for right in zip(*(same[aspect] for aspect in _ASPECTS[:3]), strict=True)]
    return {"count": len(wanted), "three": round(sum(three) / len(three), 3)} | {
        aspect: round(sum(right) / len(right), 3) for aspect, right in same.items()
    }


SECTIONS: dict[str, Callable[[int], Figures]] = {
    **{language: partial(_text_to_image, language) for language in ("en", "de", "zh")},
    "image to image": _image_to_image,
    "strengths": _strengths,
    "inpainting": lambda count: _inpainting(count // 2),
    **{precision: partial(_precision, precision) for precision in ("bf16", "fp8", "int8", "nf4")},
    **{f"GGUF {quantisation}": partial(_gguf, quantisation) for quantisation in ("Q8_0", "Q4_0")},
    "lora": _lora,
    "wan": lambda count: measure_wan.measure(count, from_image=False),
    "wan image to video": lambda count: measure_wan.measure(count, from_image=True),
    "answers": _answers,
    "loop": _loop,
}

if __name__ == "__main__":
    main()
