"""The numbers a run uses where nobody asks for others: those of the registry LoRA on the transformer, then the model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..loaders.lora import settings_of

if TYPE_CHECKING:
    from ..loaders.component import Component
    from ..loaders.schema import Model


def own_steps(transformer: Component, *experts: Component) -> int:
    """Steps for a transformer and what runs beside it. Raises UserError when the registry names none."""
    settings = settings_of(transformer, *experts)
    if settings is not None and settings.steps:
        return settings.steps
    return own_value(transformer.model_entry, "steps")


def own_value(model: Model, name: str) -> int:
    """`model.defaults.NAME`. Raises UserError where an entry, of the user's own registry say, leaves it out."""
    value: int | None = getattr(model.defaults, name)
    if value is None:
        raise UserError(
            f"The registry names no {name} for {model.name}: give {name} on the node, or `defaults: {{{name}: ...}}` in the entry."
        )
    return value
