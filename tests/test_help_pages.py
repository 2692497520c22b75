"""The help pages are what `tools/write_docs.py` writes, and quote messages that the pack has."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from advanced_models.nodes import NODE_CLASS_MAPPINGS

PACK = Path(__file__).parents[1]
sys.path.insert(0, str(PACK / "tools"))

import write_docs  # noqa: E402
from write_locales import TRANSLATIONS  # noqa: E402

CODE = ("host", "loaders", "memory", "nodes", "pipelines", "video")


@cache
def _said() -> list[str]:
    """Every text of the code, with … for what is filled in."""
    texts = []
    for path in (path for folder in CODE for path in (PACK / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_the_pages_are_what_the_tool_writes() -> None:
    written = write_docs.pages()
    found = {path.relative_to(write_docs.DOCS): path.read_text(encoding="utf-8") for path in write_docs.DOCS.rglob("*.md")}
    assert set(found) == set(written)
    assert [str(path) for path, text in written.items() if found[path] != text] == [], "run python tools/write_docs.py"
    assert {path.stem for path in found if len(path.parts) == 1} == set(NODE_CLASS_MAPPINGS)


def test_every_quoted_message_is_one_of_ours() -> None:
    prose = write_docs.help_of("en")
    for node_id in NODE_CLASS_MAPPINGS:
        for message in prose[node_id]["messages"]:
            pattern = ".*".join(re.escape(part) for part in message.split("…"))
            assert any(re.search(pattern, said) for said in _said()), f"{node_id}: {message}"


def test_a_page_says_what_the_node_takes() -> None:
    text = (write_docs.DOCS / "FluxDenoise.md").read_text(encoding="utf-8")
    assert "| `steps` | `INT` | 0 to 1000; default `0` |" in text
    assert "| `transformer` | `FLUX_TRANSFORMER` | required |" in text
    assert "| `mask` | `MASK` | optional |" in text
    assert "**flux_text_to_image**" in text and "> denoise … needs a picture to start from" in text


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translations_say_as_much(language: str) -> None:
    english, translated = write_docs.help_of("en"), write_docs.help_of(language)
    assert list(translated) == list(english)
    assert list(translated[write_docs.HEADINGS]) == list(english[write_docs.HEADINGS])
    for node_id in NODE_CLASS_MAPPINGS:
        assert list(translated[node_id]) == ["purpose", "connect", "remedies"]
        assert len(translated[node_id]["remedies"]) == len(english[node_id]["messages"])
