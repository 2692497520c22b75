"""Write memory/published_files.json: bytes and repositories of model files, as the notes in ComfyUI's own workflow templates state them.

    python tools/read_template_sizes.py FOLDER

FOLDER holds the templates of the package comfyui-workflow-templates-json (unpack its wheel). A note says `[name](address) (6.27 GB)`, in
GiB and with two decimals, so a size here is right to half of 0.01 GiB. The model folder is told by the nodes' own lists of files.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advanced_models.memory.preflight_files import PUBLISHED_FILE

_NOTED = re.compile(r"\[([\w.\- ]+\.safetensors)\]\(https://huggingface\.co/([\w.\-]+/[\w.\-]+)/[^)]*\)\s*\(([\d.]+) ?(GB|MB)\)")
_UNITS = {"GB": 2**30, "MB": 2**20}


def noted_files(text: str) -> dict[str, tuple[int, str]]:
    """File name -> (bytes, repository), of all notes in a template's text."""
    return {name: (int(float(number) * _UNITS[unit]), repository) for name, repository, number, unit in _NOTED.findall(text)}


def listed_files(value: Any) -> Iterator[tuple[str, str]]:
    """(name, model folder) of every entry of `properties.models` within a template."""
    if isinstance(value, dict):
        properties = value.get("properties")
        listed = properties.get("models") if isinstance(properties, dict) else None
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict) and {"name", "directory"} <= entry.keys():
                yield entry["name"], entry["directory"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from listed_files(inner)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    noted: dict[str, tuple[int, str]] = {}
    folders: dict[str, str] = {}
    for path in sorted(parser.parse_args().folder.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        noted |= noted_files(text)
        folders |= dict(listed_files(json.loads(text)))
    files: dict[str, dict[str, tuple[int, str]]] = {}
    for name, facts in sorted(noted.items()):
        if name in folders:
            files.setdefault(folders[name], {})[name] = facts
    folded = ",\n".join(
        f" {json.dumps(folder)}: {{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(facts)}" for name, facts in held.items()) + "\n }"
        for folder, held in sorted(files.items())
    )
    PUBLISHED_FILE.write_text(f"{{\n{folded}\n}}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
