"""The texts of the nodes in every language: English is what the nodes say, the others have the same ones and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import write_locales

MEANING_OF_ITS_OWN = set("{}@|$")
"""The page's message format reads these characters; a text with one of them would not be shown as it stands."""


def test_english_is_what_the_nodes_say() -> None:
    path = write_locales.LOCALES / "en" / "nodeDefs.json"
    assert path.read_text(encoding="utf-8") == write_locales.as_json(write_locales.node_texts()), "run python tools/write_locales.py"


@pytest.mark.parametrize("name", ["nodeDefs.json", "main.json"])
@pytest.mark.parametrize("language", write_locales.TRANSLATIONS)
def test_a_translation_has_the_same_texts(language: str, name: str) -> None:
    english, translated = (set(write_locales.keys(write_locales.read(which, name))) for which in ("en", language))
    assert sorted(english - translated) == [] and sorted(translated - english) == []


@pytest.mark.parametrize("language", ["en", *write_locales.TRANSLATIONS])
def test_the_page_shows_every_text_as_it_stands(language: str) -> None:
    texts = write_locales.read(language, "nodeDefs.json")
    for path in write_locales.keys(texts):
        text = texts
        for key in path:
            text = text[key]
        assert isinstance(text, str) and text.strip() and not MEANING_OF_ITS_OWN & set(text), path
