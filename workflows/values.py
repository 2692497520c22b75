"""Constants of a workflow: conversion to the declared type, limits, choices; and which socket types fit together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .definitions import InputSpec

_SHOWN_CHOICES = 8


@dataclass(frozen=True)
class Checked:
    """A converted value, or what is wrong with it."""

    value: Any = None
    problem: str | None = None


def checked_value(spec: InputSpec, value: Any) -> Checked:
    """Convert a constant as ComfyUI does: `int`, `float`, `str`, `bool` by declared type; other types are left as they are."""
    if spec.choices is None and spec.type not in ("INT", "FLOAT", "STRING", "BOOLEAN"):
        return Checked(value)
    if value is None:
        return Checked(problem="it has no value.")
    if spec.type == "INT" or spec.type == "FLOAT":
        return _number(spec.type, value)
    if spec.type == "STRING":
        return Checked(str(value))
    if spec.type == "BOOLEAN":
        if isinstance(value, (bool, int, float)):
            return Checked(bool(value))
        return Checked(problem=f"{value!r} is neither true nor false.")
    return Checked(value)


def _number(kind: str, value: Any) -> Checked:
    what = "a whole number" if kind == "INT" else "a number"
    if not isinstance(value, (bool, int, float, str)):
        return Checked(problem=f"{value!r} is not {what}.")
    try:
        # A large seed must not pass through a float, which would change it.
        number: int | float = float(value) if kind == "FLOAT" or isinstance(value, float) else int(value)
    except ValueError:
        return Checked(problem=f"{value!r} is not {what}.")
    if not math.isfinite(number):
        return Checked(problem=f"{number} is not a finite number.")
    return Checked(int(number) if kind == "INT" else number)


def in_limits(spec: InputSpec, value: Any) -> Checked:
    """Check a converted constant against minimum, maximum and choices."""
    if spec.type in ("INT", "FLOAT"):
        low, high = spec.options.get("min"), spec.options.get("max")
        if low is not None and value < low:
            return Checked(problem=f"{value} is smaller than the smallest value, {low}.")
        if high is not None and value > high:
            return Checked(problem=f"{value} is larger than the largest value, {high}.")
    if spec.choices is not None and not _is_choice(spec, value):
        return Checked(problem=f"{value!r} is not one of its choices ({_shown(spec.choices)}).")
    return Checked(value)


def _is_choice(spec: InputSpec, value: Any) -> bool:
    choices = spec.choices or ()
    if isinstance(value, list):
        return all(entry in choices for entry in value)
    return value in choices


def _shown(choices: tuple[Any, ...]) -> str:
    if not choices:
        return "there are none"
    shown = ", ".join(str(choice) for choice in choices[:_SHOWN_CHOICES])
    return shown if len(choices) <= _SHOWN_CHOICES else f"{shown} and {len(choices) - _SHOWN_CHOICES} more"


def types_match(received: Any, declared: Any) -> bool:
    """Whether an output of type `received` may feed an input of type `declared` (comfy_execution/validation.py, validate_node_input).

    Unions are written "A,B" and match where they overlap. Packs write "any" as a subclass of str whose `!=` is always false, and
    choices as lists, so the comparison itself is asked first. A plain `*` matches everything, as in ComfyUI since 0.4.
    """
    if not received != declared:  # noqa: SIM202
        return True
    if isinstance(declared, list) or isinstance(received, list):
        return _is_combo(declared) and _is_combo(received)
    if not isinstance(received, str) or not isinstance(declared, str):
        return False
    given, taken = ({part.strip() for part in kind.split(",")} for kind in (received, declared))
    return "*" in given | taken or not given.isdisjoint(taken)


def _is_combo(kind: Any) -> bool:
    return isinstance(kind, list) or kind in ("COMBO", "*")
