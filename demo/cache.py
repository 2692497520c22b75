"""Small models that are built once for a user and used again by every demo."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .build import BUILDER_VERSION, MARKER, build


def cached_models(models: Iterable[str]) -> Path:
    """A models folder that has small models of these ids under `diffusers/`, built where they are not there yet."""
    folder = cache_folder()
    for model in models:
        place = folder / "diffusers" / model
        if not (place / MARKER).is_file():
            build(model, place)
    return folder


def cache_folder() -> Path:
    """Where the small models of this builder and these libraries are kept, in the user's cache folder."""
    from importlib.metadata import version

    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = f"{BUILDER_VERSION}-diffusers-{version('diffusers')}-transformers-{version('transformers')}"
    return Path(base) / "advanced_models" / "small-models" / key
