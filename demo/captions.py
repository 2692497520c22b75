"""Captions of the drawn scenes in English, German and Chinese: the language of the trained small models.

The words stand in `caption_words.json`. What a caption leaves unsaid is the ordinary: a shape of medium size, in the centre.
"""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from .shapes import COLOURS, POSITIONS, SHAPES, SIZES, Scene

LANGUAGES = ("en", "de", "zh")
_SHARES = (2, 1, 1)


def caption(scene: Scene, language: str = "en", template: int = 0) -> str:
    """The scene in words: `a large red circle on the left on a blue background`. The first template is the plainest sentence."""
    known = words(language)
    ending = known["endings"][scene.shape] if "endings" in known else ""
    size, colour = known["size"][scene.size], known["colour"][scene.colour]
    if ending:
        size = f"{size}{ending} " if size else ""
        # The German word for purple does not change.
        colour = colour if colour.endswith("a") else colour.removesuffix("e") + ending
    text: str = known["templates"][template].format(
        article=article(f"{size}{colour}"),
        size=size,
        colour=colour,
        shape=known["shape"][scene.shape],
        position=known["position"][scene.position],
        background=known["background"][scene.background],
    )
    return text


def article(what: str) -> str:
    """The English article before these words."""
    return "an" if what[0] in "aeiou" else "a"


def any_caption(scene: Scene, rng: random.Random) -> str:
    """The scene in a random language and wording, half of them English."""
    language = rng.choices(LANGUAGES, weights=_SHARES)[0]
    return caption(scene, language, rng.randrange(len(words(language)["templates"])))


@cache
def every_caption() -> tuple[str, ...]:
    """All that can be said, for tokenizers."""
    scenes = [Scene(s, c, b, p, z) for s in SHAPES for c in COLOURS for b in COLOURS if c != b for p in POSITIONS for z in SIZES]
    return tuple(caption(scene, lang, index) for scene in scenes for lang in LANGUAGES for index in range(len(words(lang)["templates"])))


def whole_words() -> list[str]:
    """Words that a tokenizer should know as one piece each, Chinese ones included, in which nothing stands between words."""
    chinese = words("zh")
    pieces = {word for caption in every_caption() for word in caption.split() if not _is_chinese(word)}
    single = {word for group in ("shape", "colour", "size", "position") for word in chinese[group].values() if word}
    return sorted(pieces | single | {"\u80cc\u666f\u4e0a", "\u80cc\u666f\u4e0a\u7684"})


def _is_chinese(word: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in word)


def words(language: str) -> dict[str, Any]:
    """The words of a language: topic -> the scene's own word -> the word in a caption; and the templates."""
    found: dict[str, Any] = _all_words()[language]
    return found


@cache
def _all_words() -> dict[str, Any]:
    languages: dict[str, Any] = json.loads((Path(__file__).parent / "caption_words.json").read_text(encoding="utf-8"))
    return languages
