"""Weights that stay in memory as their files hold them: a transformer's GGUF file, and repositories that hold weights quantised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from .gguf_files import GGUF
from .precision import PrecisionError
from .prequantised import stored_precision
from .sources import find, read_config
from .weight_files import find_weight_files

if TYPE_CHECKING:
    from .component import Component
    from .precision import Precision
    from .sources import ComponentFolder


def is_kept_gguf(component: Component) -> bool:
    """Whether the component is a network of diffusers, and the place that it comes from a GGUF file.

    transformers has no layers for such weights: text encoders are dequantised as they are read.
    """
    try:
        place = find(component) if component.entry.library == "diffusers" else None
    except UserError:
        return False
    return place is not None and _is_gguf(place)


def check_still_gguf(component: Component, place: ComponentFolder) -> None:
    """Raises PrecisionError for the precision gguf where the files are none, which were when the handle was made."""
    if component.precision == "gguf" and not _is_gguf(place):
        raise PrecisionError(
            f"The GGUF file of the {component.label} is no longer there, and {place.label} is none: choose a source or a precision anew."
        )


def stored_weights(component: Component) -> tuple[Precision, int] | None:
    """How the files hold weights that stay as they are, and their bytes; None where the handle's precision decides, or nothing is here."""
    try:
        place = find(component)
        if place is None:
            return None
        precision = "gguf" if component.precision == "gguf" else stored_precision(read_config(component), place.label)
        files = find_weight_files(place) if precision else ()
    except UserError:
        return None
    return (precision, sum(path.stat().st_size for path in files)) if precision else None


def _is_gguf(place: ComponentFolder) -> bool:
    return place.file is not None and place.file.suffix.lower() == GGUF
