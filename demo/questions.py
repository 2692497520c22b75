"""Questions about a drawn scene and their answers, in English and Chinese: what the trained small Qwen2.5-VL can be asked.

The words stand in `question_words.json`; shapes, colours and whole sentences are those of the captions.
"""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from .captions import caption, words
from .shapes import Scene

LANGUAGES = ("en", "zh")
TOPICS = ("shape", "colour", "background", "position", "size", "all")
"""What can be asked for; `all` is a sentence of the captions' plainest wording."""


def question(topic: str, scene: Scene, language: str, rng: random.Random) -> str:
    """One of the ways to ask."""
    asked: str = rng.choice(_all_words()[language]["questions"][topic])
    return asked.format(shape=words(language)["shape"][scene.shape])


def answer(topic: str, scene: Scene, language: str) -> str:
    """What is right to say."""
    if topic == "all":
        return caption(scene, language)
    own = _all_words()[language]["answers"]
    group = own[topic] if topic in own else words(language)["colour" if topic == "background" else topic]
    said: str = group[getattr(scene, topic)]
    return said


def question_parts() -> list[str]:
    """All that is asked and answered but for the captions' own words, in pieces between which a shape's name may stand: for tokenizers."""
    known = [_all_words()[language] for language in LANGUAGES]
    asked = [text for words in known for texts in words["questions"].values() for text in texts]
    answered = [text for words in known for topic in words["answers"].values() for text in topic.values()]
    return [part for text in asked for part in text.split("{shape}") if part] + answered


@cache
def _all_words() -> dict[str, Any]:
    languages: dict[str, Any] = json.loads((Path(__file__).parent / "question_words.json").read_text(encoding="utf-8"))
    return languages
