"""What nodes that pass transformers on share: they can be wired to every architecture, and change each expert of a model alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import UserError
from ..loaders.component import Component
from .wan_model import WanTransformer


def check_transformer(transformer: Any, socket: str) -> None:
    """Refuse another architecture's transformer."""
    given = transformer.transformer if isinstance(transformer, WanTransformer) else transformer
    if given.entry.socket != socket:
        raise UserError(f"The {given.label} is a {given.entry.socket}, where a {socket} belongs: connect that architecture's loader.")


def experts_of(transformer: Any) -> dict[str, Component]:
    """Role -> handle of each network in what came over a transformer's wire. Raises UserError for what is none."""
    if isinstance(transformer, WanTransformer):
        return dict(zip(("transformer", "transformer_2"), transformer.components, strict=False))
    if isinstance(transformer, Component):
        return {"transformer": transformer}
    raise UserError("This is no transformer of this pack: connect FluxLoader, WanLoader or QwenImageLoader.")


def with_experts(transformer: Component | WanTransformer, changed: Mapping[str, Component]) -> Component | WanTransformer:
    """The transformer with other handles for its networks, by role."""
    if isinstance(transformer, WanTransformer):
        return replace(transformer, **changed)
    return changed["transformer"]
