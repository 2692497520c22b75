"""Qwen2.5-VL as llama.cpp shares it: the language model in one GGUF file, what reads pictures (mmproj) in another.

Prompts are encoded without the second file. It is told by its tensors, and belongs to the language model that is as wide as what it gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .file_headers import read_shapes
from .folder_files import files_in, neighbours
from .gguf_files import GGUF, gguf_architecture
from .gguf_names import LANGUAGE_HALF, PATCHES, PICTURE_HALF, SECOND_PATCHES

if TYPE_CHECKING:
    from .sources import ComponentFolder

_MARKS = (PATCHES, SECOND_PATCHES, "model.visual.blocks.0.mlp.gate_proj.weight")
"""Of Qwen2.5-VL's alone: Qwen2-VL's has no gates, and others read one frame at a time."""


def is_language_half(path: Path) -> bool:
    """Whether the file is a language model that reads pictures through another file. Raises UserError as `gguf_architecture`."""
    return gguf_architecture(path) == LANGUAGE_HALF


def picture_halves(language: Path) -> list[Path]:
    """The files that can be the picture half of this language half: those in its folder, else those of all text encoders."""
    width = read_shapes(language)["model.language_model.embed_tokens.weight"][1]
    beside = [path for path in neighbours(language, GGUF) if _width(path) == width]
    return beside or [path for path in files_in("text_encoders", (GGUF,)).values() if _width(path) == width]


def lacks_pictures(place: ComponentFolder) -> bool:
    """Whether only the language half is there, or nothing tells which picture half belongs to it."""
    return place.file is not None and place.picture_half is None and is_language_half(place.file)


def check_pictures(place: ComponentFolder) -> None:
    """Raises UserError for a place that `lacks_pictures`, with `remedy`."""
    if lacks_pictures(place):
        raise UserError(remedy(place))


def remedy(place: ComponentFolder) -> str:
    """What to do about a place that `lacks_pictures`: which file to put where."""
    assert place.file is not None
    found = picture_halves(place.file)
    if found:
        names = " and ".join(path.name for path in found)
        return f"{place.label} reads pictures through a second file, and {names} fit it alike: keep one of them in its folder."
    others = [path.name for path in neighbours(place.file, GGUF) if _architecture(path) == PICTURE_HALF]
    wrong = f" {others[0]} beside it belongs to another model." if others else ""
    return (
        f"{place.label} is the language half of Qwen2.5-VL, and no file here holds the half that reads pictures: put the mmproj file from "
        f"where it came (mmproj-F16.gguf, for example) into the same folder.{wrong}"
    )


def _width(path: Path) -> int | None:
    """How wide the language model is that a picture half belongs to; None for every other file."""
    try:
        shapes = read_shapes(path)
    except (UserError, OSError):
        return None
    return shapes["model.visual.merger.mlp.2.weight"][0] if all(mark in shapes for mark in _MARKS) else None


def _architecture(path: Path) -> str:
    try:
        return gguf_architecture(path)
    except (UserError, OSError):
        return ""
