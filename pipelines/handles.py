"""Whether a handle is what a node takes: nodes that pass transformers on can be wired to every architecture."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .wan_model import WanTransformer


def check_transformer(transformer: Any, socket: str) -> None:
    """Refuse another architecture's transformer."""
    given = transformer.transformer if isinstance(transformer, WanTransformer) else transformer
    if given.entry.socket != socket:
        raise UserError(f"The {given.label} is a {given.entry.socket}, where a {socket} belongs: connect that architecture's loader.")
