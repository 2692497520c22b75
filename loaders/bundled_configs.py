"""The configs of the real models, which ship with the pack: no network is needed for a file that comes without one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .schema import ComponentEntry

BUNDLED_CONFIGS = Path(__file__).parent / "configs"


def bundled_config(entry: ComponentEntry) -> Path | None:
    """The config file of the real model that ships with the pack, if there is one."""
    return next((BUNDLED_CONFIGS / entry.id).glob("*config.json"), None)
