"""The handles that our loaders in a graph will hand out, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..errors import UserError
from ..loaders.component import AUTO_SOURCE, Component, select_component
from ..loaders.precision import QUANTISED_ROLES

if TYPE_CHECKING:
    from ..workflows.prompt import Node


def handle_of(node: Node, model: str, role: str) -> Component | None:
    """What a loader hands out for a role of a model; None where it will refuse."""
    source = node.inputs.get("source", AUTO_SOURCE)
    if role == "transformer_2" and node.inputs.get("source_2", AUTO_SOURCE) != AUTO_SOURCE:
        source = node.inputs["source_2"]
    named = named_precision(node) if role.startswith(QUANTISED_ROLES) else None
    try:
        return select_component(model, role, precision=cast(Any, named or "auto"), source=str(source))
    except UserError:
        return None


def named_precision(node: Node) -> str | None:
    """The precision that a loader names; None for `auto`, and where another node decides."""
    precision = node.inputs.get("precision")
    return precision if isinstance(precision, str) and precision != "auto" else None
