"""What a mistake in a registry file looks like to the person who made it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..errors import UserError

# pydantic's error types, in the words of somebody who edits a YAML file. The rest keep pydantic's own wording.
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}


class RegistryError(UserError):
    """A mistake in a registry file: which file, where in it, and what was expected."""

    def __init__(self, file: str, where: Sequence[str | int], problem: str) -> None:
        place = " > ".join(str(part) for part in where)
        super().__init__(": ".join(part for part in (file, place, problem) if part))


def describe(error: ValidationError, file: str, where: tuple[str, ...]) -> RegistryError:
    """The first mistake that pydantic found in an entry, in words; the others are counted."""
    details = error.errors(include_url=False)
    first = details[0]
    location = [part for part in first["loc"] if part != "[key]"]
    more = f" ({len(details) - 1} more in this entry)" if len(details) > 1 else ""
    if first["type"] == "missing":
        return RegistryError(file, (*where, *location[:-1]), f"the key '{location[-1]}' is missing{more}")
    return RegistryError(file, (*where, *location), _problem(first) + more)


def _problem(detail: ErrorDetails) -> str:
    kind, found = detail["type"], detail["input"]
    if kind in ("unknown_key", "inconsistent"):
        return detail["msg"]
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {found!r}"
    if kind == "literal_error":
        return f"expected one of {detail['ctx']['expected']}, found {found!r}"
    if kind == "string_pattern_mismatch":
        return f"expected a text of the form {detail['ctx']['pattern']}, found {found!r}"
    return f"{detail['msg']}, found {found!r}"
