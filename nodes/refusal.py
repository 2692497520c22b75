"""Turns a refusal into what ComfyUI's VALIDATE_INPUTS returns: True, or the sentence that the page shows."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UserError


def refusal(check: Callable[[], object]) -> bool | str:
    """True when the check passes, else what it says."""
    try:
        check()
    except UserError as error:
        return str(error)
    return True
