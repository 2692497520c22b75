"""Write `locales/en` from nodes, the words of `web/` and the registry's warnings: `python tools/write_locales.py`.

German and Chinese are translated in `locales/{de,zh}/` by hand; where they lack a text, or have one too many, this says so.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import advanced_models.host
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.registry_warnings import ComputedWarning
from advanced_models.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

PACK = Path(__file__).parents[1]
LOCALES = PACK / "locales"
TRANSLATIONS = ("de", "zh")
NODES, PAGE = "nodeDefs.json", "main.json"
SHOWN = ("required", "optional")
WORDS = re.compile(r'\bt\(\s*("(?:[^"\\]|\\.)*")')
"""`t("...")` in a module of the page."""


def inputs_of(node: Any) -> dict[str, tuple[Any, Mapping[str, Any], bool]]:
    """The inputs that a user sees: name -> type or choices, options, whether it must be given. Choices as on a machine without models."""
    before = advanced_models.host.current()
    with tempfile.TemporaryDirectory() as folder:
        advanced_models.host.use(StandaloneHost.below(Path(folder)))
        declared = node.INPUT_TYPES()
        advanced_models.host.use(before)
    found = {}
    for group in SHOWN:
        for name, (kind, *options) in declared.get(group, {}).items():
            found[name] = (kind, options[0] if options else {}, group == "required")
    return found


def outputs_of(node: Any) -> list[tuple[str, str, str]]:
    """Name, type and tooltip of each output."""
    names = getattr(node, "RETURN_NAMES", node.RETURN_TYPES)
    return list(zip(names, node.RETURN_TYPES, node.OUTPUT_TOOLTIPS, strict=True))


def node_texts() -> dict[str, Any]:
    """Every text of every node, in the shape that ComfyUI's page reads."""
    return {
        node_id: {
            "display_name": NODE_DISPLAY_NAME_MAPPINGS[node_id],
            "description": node.DESCRIPTION,
            "inputs": {name: {"name": name, "tooltip": options["tooltip"]} for name, (_, options, _) in inputs_of(node).items()},
            "outputs": {str(index): {"name": name, "tooltip": text} for index, (name, _, text) in enumerate(outputs_of(node))},
        }
        for node_id, node in NODE_CLASS_MAPPINGS.items()
    }


def warning_texts() -> set[str]:
    """What the registry warns of: texts, templates where figures stand in them, and the notes of licences."""
    warnings = [warning for model in load_registry().models.values() for warning in model.warnings]
    notes = {warning.values["note"] for warning in warnings if isinstance(warning, ComputedWarning) and "note" in warning.values}
    return notes | {warning.template if isinstance(warning, ComputedWarning) else warning.text for warning in warnings}


def page_texts() -> dict[str, Any]:
    """Every text of the page's modules and of the registry's warnings, as `web/words.mjs` looks them up."""
    found = {json.loads(text) for path in (PACK / "web").glob("*.mjs") for text in WORDS.findall(path.read_text(encoding="utf-8"))}
    found |= warning_texts()
    return {"advancedModels": {text: text for text in sorted(found)}}


def read(language: str, name: str) -> dict[str, Any]:
    """A locale file."""
    found: dict[str, Any] = json.loads((LOCALES / language / name).read_text(encoding="utf-8"))
    return found


def keys(texts: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path to every text."""
    for key, value in texts.items():
        if isinstance(value, Mapping):
            yield from keys(value, (*before, key))
        else:
            yield (*before, key)


def as_json(texts: Mapping[str, Any]) -> str:
    """As the files are written."""
    return json.dumps(texts, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the English texts; 1 when a translation does not have the same ones."""
    for name, texts in ((NODES, node_texts()), (PAGE, page_texts())):
        (LOCALES / "en" / name).write_text(as_json(texts), encoding="utf-8")
    wrong = 0
    for language in TRANSLATIONS:
        for name in (NODES, PAGE):
            english, translated = (set(keys(read(which, name))) for which in ("en", language))
            for path in sorted(english ^ translated):
                wrong += 1
                print(f"locales/{language}/{name} {'lacks' if path in english else 'has too many'}: {' / '.join(path)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
