"""The texts of the nodes in every language: English is what the nodes say, the others have the same ones and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from advanced_models.loaders.registry import load_registry

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import write_locales

MEANING_OF_ITS_OWN = set("{}@|$")
"""The page's message format reads these characters; a text with one of them would not be shown as it stands."""


@pytest.mark.parametrize("name, said", [(write_locales.NODES, write_locales.node_texts), (write_locales.PAGE, write_locales.page_texts)])
def test_english_is_what_nodes_and_page_say(name: str, said: Callable[[], Any]) -> None:
    path = write_locales.LOCALES / "en" / name
    assert path.read_text(encoding="utf-8") == write_locales.as_json(said()), "run python tools/write_locales.py"


@pytest.mark.parametrize("name", [write_locales.NODES, write_locales.PAGE])
@pytest.mark.parametrize("language", write_locales.TRANSLATIONS)
def test_a_translation_has_the_same_texts(language: str, name: str) -> None:
    english, translated = (set(write_locales.keys(write_locales.read(which, name))) for which in ("en", language))
    assert sorted(english - translated) == [] and sorted(translated - english) == []


@pytest.mark.parametrize("language", ["en", *write_locales.TRANSLATIONS])
def test_the_page_shows_every_text_as_it_stands(language: str) -> None:
    texts: Any = write_locales.read(language, write_locales.NODES)
    for path in write_locales.keys(texts):
        text = texts
        for key in path:
            text = text[key]
        assert isinstance(text, str) and text.strip() and not MEANING_OF_ITS_OWN & set(text), path


@pytest.mark.parametrize("language", write_locales.TRANSLATIONS)
def test_a_translation_keeps_the_values(language: str) -> None:
    for text, translated in write_locales.read(language, write_locales.PAGE)["advancedModels"].items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", translated)), text


@pytest.mark.parametrize("language", write_locales.TRANSLATIONS)
def test_every_warning_of_the_registry_is_translated(language: str) -> None:
    words = write_locales.read(language, write_locales.PAGE)["advancedModels"]
    warnings = {warning.text for model in load_registry().models.values() for warning in model.warnings}
    texts = write_locales.warning_texts()
    for warning in warnings:
        assert any(re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(text)), warning) for text in texts), warning
    assert [text for text in sorted(texts) if words[text] == text] == []
