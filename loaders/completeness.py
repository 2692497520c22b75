"""Whether a folder holds a component as a whole: what a broken-off download left must never be taken for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .weight_files import BrokenFilesError, read_weight_files

if TYPE_CHECKING:
    from pathlib import Path

    from .schema import ComponentEntry
    from .sources import ComponentFolder

# By socket, the file that the libraries begin with; downloads bring it last, so that a folder with it is whole. Newer releases of
# transformers save a processor's under the second name.
_FIRST_READ = {
    "TOKENIZER": ("tokenizer_config.json",),
    "SCHEDULER": ("scheduler_config.json",),
    "PROCESSOR": ("preprocessor_config.json", "processor_config.json"),
}
_NETWORK = ("config.json",)
# A tokenizer's vocabulary is one of these; BPE's takes two files.
_VOCABULARIES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",), ("tokenizer.model",))

FIRST_READ = frozenset({*_NETWORK, *(name for names in _FIRST_READ.values() for name in names)})
"""Every such name."""


def check_whole(place: ComponentFolder, entry: ComponentEntry) -> None:
    """Raises BrokenFilesError that says in words what a place lacks; of the weights only the headers are read."""
    if place.file is not None:
        return
    missing = _missing_companions(place.folder, entry)
    if missing is not None:
        raise BrokenFilesError(f"{place.label} lacks {missing}: the download did not finish. Download it again.")
    if entry.parameters:
        read_weight_files(place)


def _missing_companions(folder: Path, entry: ComponentEntry) -> str | None:
    first = _FIRST_READ.get(entry.socket, _NETWORK)
    has_words = entry.socket == "TOKENIZER" or (entry.socket == "PROCESSOR" and not entry.class_name.endswith("ImageProcessor"))
    if has_words and not (folder / "tokenizer_config.json").is_file():
        return "tokenizer_config.json"
    if not any((folder / name).is_file() for name in first):
        return " or ".join(first)
    return _missing_vocabulary(folder) if has_words else None


def _missing_vocabulary(folder: Path) -> str | None:
    found = [[name for name in names if (folder / name).is_file()] for names in _VOCABULARIES]
    for names, here in zip(_VOCABULARIES, found, strict=True):
        if here and len(here) < len(names):
            return next(name for name in names if name not in here)
    return None if any(found) else "its vocabulary (" + ", or ".join(" and ".join(names) for names in _VOCABULARIES) + ")"
