"""Pins in words, as a user types them: `transformer: bf16`, `text encoder 2: cpu`, `vae: fp32, resident`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import UserError
from .plan_values import PLACEMENTS, Pin, compatible
from .weights import WEIGHT_PRECISIONS


def read_pins(text: str) -> Mapping[str, Pin]:
    """The pins of a text, one part a line, by the part's name.

    Raises:
        UserError: a line is no pin, a word is neither precision nor placement, or the two exclude each other.
    """
    pins = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, colon, wanted = line.partition(":")
        words = [word.strip().lower() for word in wanted.split(",") if word.strip()]
        if not colon or not words:
            raise UserError(f"'{line}' is no pin: write a part, a colon and what it is held to, for example 'vae: fp32, resident'.")
        pins[name.strip().lower().replace(" ", "_")] = _pin(line, words)
    return pins


def _pin(line: str, words: list[str]) -> Pin:
    precision = next((name for name in WEIGHT_PRECISIONS if name in words), None)
    placement = next((name for name in PLACEMENTS if name in words), None)
    if len(words) != (precision is not None) + (placement is not None):
        raise UserError(
            f"The pin '{line}' must name a precision ({', '.join(WEIGHT_PRECISIONS)}), a placement ({', '.join(PLACEMENTS)}) "
            "or one of each."
        )
    if precision and placement and not compatible(precision, placement):
        raise UserError(f"The pin '{line}' cannot be kept: {precision} and {placement} do not go together.")
    return Pin(precision, placement)


def check_pins(pins: Mapping[str, Pin], parts: Iterable[str]) -> None:
    """Raises UserError for a pin of a part that the graph does not have."""
    known = list(parts)
    for name in pins:
        if name not in known:
            raise UserError(
                f"There is no '{name.replace('_', ' ')}' in this graph to pin; its parts are {', '.join(known).replace('_', ' ')}."
            )
