"""What a model file of a ComfyUI folder holds, told by its name: the registry's component, and its bytes, published or by its precision."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ..loaders.registry import load_registry
from ..loaders.schema import DTYPE_BYTES

_TABLE = Path(__file__).parent / "known_files.json"
PUBLISHED_FILE = Path(__file__).parent / "published_files.json"
"""Model folder -> file name -> [bytes, repository], written by `tools/read_template_sizes.py`."""
_SEPARATORS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class KnownFile:
    """A file that was recognised. A checkpoint holds several components."""

    name: str
    folder: str
    model: str | None
    """The registry's model; None for what several models share."""
    components: tuple[tuple[str, str], ...]
    """(role, component id)."""
    bytes_per_weight: float

    @property
    def size(self) -> int:
        """Bytes of the file: published, else from parameter counts and the precision that its name states."""
        registry = load_registry()
        return int(sum(registry.component(name).parameters for _, name in self.components) * self.bytes_per_weight)

    def size_of(self, component: str) -> int:
        return int(load_registry().component(component).parameters * self.bytes_per_weight)


@lru_cache(maxsize=4096)
def identify(file: str, folder: str) -> KnownFile | None:
    """The file of this name in this model folder; None when its name is not known."""
    table = _table()
    name = file.replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in (".safetensors", ".gguf", ".sft", ".ckpt", ".pt", ".pth"):
        name = name.removesuffix(suffix)
    name = _SEPARATORS.sub("_", name.lower()).strip("_")
    for pattern, model, component in table[folder]:
        if pattern.search(name):
            roles = _roles(folder, model, component)
            known = KnownFile(file, folder, model, roles, _bytes_per_weight(name, roles[0][1]))
            facts = published(file, folder)
            return known if facts is None else replace(known, bytes_per_weight=known.bytes_per_weight * facts[0] / known.size)
    return None


def published(file: str, folder: str) -> tuple[int, str] | None:
    """Bytes and repository of a file of this name in this model folder, where they were published."""
    found = _published().get(folder, {}).get(file.replace("\\", "/").rsplit("/", 1)[-1])
    return None if found is None else (found[0], found[1])


def _roles(folder: str, model: str | None, component: str | None) -> tuple[tuple[str, str], ...]:
    registry = load_registry()
    if component is not None:
        role = {"diffusion_models": "transformer", "text_encoders": "text_encoder", "vae": "vae", "clip_vision": "image_encoder"}[folder]
        return ((role, component),)
    assert model is not None, "a checkpoint is named after its model"
    known = registry.model(model).components
    return tuple((role, name) for role, name in known.items() if registry.component(name).parameters)


def _bytes_per_weight(name: str, component: str) -> float:
    for pattern, size, _ in _table()["precisions"]:
        if pattern.search(name):
            return float(size)
    entry = load_registry().component(component)
    return float(DTYPE_BYTES[entry.stored_dtype or "bf16"])


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    for section in ("diffusion_models", "text_encoders", "vae", "clip_vision", "checkpoints", "precisions"):
        table[section] = [(re.compile(pattern), *rest) for pattern, *rest in table[section]]
    return table


@cache
def _published() -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = json.loads(PUBLISHED_FILE.read_text(encoding="utf-8"))
    return files
