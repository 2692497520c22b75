"""Write the help page of every node: `python tools/write_docs.py` writes `web/docs/ID.md`, and `web/docs/ID/LANGUAGE.md` in translation.

Tables come from the node's definition and `locales/*/nodeDefs.json`, the prose from `tools/node_help/*.yaml`: what the node is for, what to
connect, and what its messages (quoted in English, as the server says them) ask for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from write_locales import PACK, TRANSLATIONS, inputs_of, outputs_of, read

HELP = Path(__file__).parent / "node_help"
DOCS = PACK / "web" / "docs"
EXAMPLES = PACK / "example_workflows"
HEADINGS = "headings"
"""The key of a help file below which the words of the page itself stand."""


def help_of(language: str) -> dict[str, Any]:
    """The prose of a language, by node id."""
    found: dict[str, Any] = yaml.safe_load((HELP / f"{language}.yaml").read_text(encoding="utf-8"))
    return found


def pages() -> dict[Path, str]:
    """Every page: path below `web/docs` -> Markdown."""
    english = help_of("en")
    written = {}
    for language in ("en", *TRANSLATIONS):
        prose, names = help_of(language), read(language, "nodeDefs.json")
        for node_id, node in NODE_CLASS_MAPPINGS.items():
            path = Path(f"{node_id}.md") if language == "en" else Path(node_id) / f"{language}.md"
            # Messages and example are the same in every language.
            told = {**prose[node_id], "messages": english[node_id]["messages"], "example": english[node_id]["example"]}
            written[path] = page(node, names[node_id], told, prose[HEADINGS])
    return written


def page(node: Any, names: Mapping[str, Any], told: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """One node's page. `names` are its texts in a language, `told` the prose, `words` the headings."""
    inputs, outputs = inputs_of(node), outputs_of(node)
    lines = [f"# {names['display_name']}", names["description"], told["purpose"], f"## {words['inputs']}"]
    lines += [
        table(
            (words["name"], words["type"], words["values"], words["meaning"]),
            (
                (label(texts["name"], name), kind_of(kind), values_of(kind, options, required, words), texts["tooltip"])
                for (name, (kind, options, required)), texts in zip(inputs.items(), names["inputs"].values(), strict=True)
            ),
        )
    ]
    lines += [f"## {words['outputs']}"]
    lines += [
        table(
            (words["name"], words["type"], words["meaning"]),
            (
                (label(texts["name"], name), kind_of(kind), texts["tooltip"])
                for (name, kind, _), texts in zip(outputs, names["outputs"].values(), strict=True)
            ),
        )
    ]
    lines += [f"## {words['connect']}", told["connect"], f"## {words['mistakes']}"]
    lines += [f"> {message}\n\n{remedy}" for message, remedy in zip(told["messages"], told["remedies"], strict=True)]
    example = json.loads((EXAMPLES / f"{told['example']}.json").read_text(encoding="utf-8"))
    stands_there = any(entry["type"] == node.__name__ for entry in example["nodes"])
    lines += [f"## {words['example']}", words["stands_in" if stands_there else "start_from"].format(name=f"**{told['example']}**")]
    return "\n\n".join(line.strip() for line in lines) + "\n"


def table(heads: tuple[str, ...], rows: Any) -> str:
    """A Markdown table."""
    cells = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in cells)


def label(shown: str, name: str) -> str:
    """A name as it is shown, and as messages and workflow files call it."""
    return f"`{name}`" if shown == name else f"{shown} (`{name}`)"


def kind_of(kind: Any) -> str:
    """The socket type or the kind of value."""
    if not isinstance(kind, str):
        return "COMBO"
    return ", ".join(f"`{one}`" for one in kind.split(","))


def values_of(kind: Any, options: Mapping[str, Any], required: bool, words: Mapping[str, str]) -> str:
    """Default, range and choices; for a wire, whether it must be connected."""
    said = []
    if not isinstance(kind, str):
        said.append(", ".join(f"`{choice}`" for choice in kind))
    if "min" in options:
        said.append(words["range"].format(least=f"{options['min']:g}", most=most(options["max"])))
    if options.get("default") not in (None, ""):
        said.append(words["default"].format(value=f"`{options['default']}`".replace("True", "on").replace("False", "off")))
    if not said and isinstance(kind, str) and kind not in ("STRING", "BOOLEAN"):
        said.append(words["required" if required else "optional"])
    return "; ".join(said)


def most(value: float) -> str:
    """An upper bound; 64 bits in short."""
    return "2^64 - 1" if value == 2**64 - 1 else f"{value:.10g}"


def main() -> None:
    """Write the pages, and take away those of nodes that are gone."""
    written = pages()
    for path in DOCS.rglob("*.md"):
        if path.relative_to(DOCS) not in written:
            path.unlink()
    for path, text in written.items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
