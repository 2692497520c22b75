"""Repositories whose weights are stored quantised (a `quantization_config` in the config): used as they are, or refused before loading."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .placement import check_placement
from .precision import PLAIN, Precision, PrecisionError, check_precision

if TYPE_CHECKING:
    from .component import Component
    from .sources import ComponentFolder

_QUANTISERS = {
    "diffusers": ("diffusers.quantizers.bitsandbytes.bnb_quantizer", ("BnB4BitDiffusersQuantizer", "BnB8BitDiffusersQuantizer")),
    "transformers": ("transformers.quantizers.auto", ("Bnb4BitHfQuantizer", "Bnb8BitHfQuantizer")),
}


def stored_precision(config: Mapping[str, Any], label: str) -> Precision | None:
    """How a component's config says that its files hold the weights; None for plain ones.

    Raises PrecisionError for everything but bitsandbytes' formats.
    """
    settings = config.get("quantization_config")
    if not isinstance(settings, Mapping):
        return None
    if settings.get("load_in_8bit"):
        return "int8"
    if settings.get("load_in_4bit") and settings.get("bnb_4bit_quant_type") == "nf4":
        return "nf4"
    method = settings.get("quant_method", "an unknown method")
    method += " fp4" if settings.get("load_in_4bit") else ""
    raise PrecisionError(
        f"{label} holds weights that are quantised by {method}, of which this pack reads bitsandbytes' nf4 and int8 alone: choose the "
        "model's own repository, and there the precision nf4, int8 or fp8."
    )


def check_stored(component: Component, place: ComponentFolder, config: Mapping[str, Any], device_type: str) -> Precision | None:
    """`stored_precision`; refuses what such weights do not allow: a missing backend, another quantisation, streaming by blocks."""
    stored = stored_precision(config, place.label)
    if stored is None:
        return None
    check_precision(stored, device_type)
    check_placement(component.placement, stored)
    if component.precision not in (*PLAIN, stored):
        raise PrecisionError(
            f"{place.label} holds weights that are stored as {stored}, which cannot be turned into {component.precision}: choose the "
            f"precision auto or {stored}, or the model's own repository."
        )
    return stored


@contextmanager
def read_onto_the_cpu(library: str) -> Iterator[None]:
    """Have a library read bitsandbytes' weights onto the CPU, from where the store brings them to the device.

    Of themselves both put them onto the current GPU, beside what the store knows of it, and diffusers refuses to read them where there
    is none, though bitsandbytes computes on the CPU as well.
    """
    home, names = _QUANTISERS[library]
    module = importlib.import_module(home)
    own = {(getattr(module, name), method): getattr(getattr(module, name), method) for name in names for method in _CHANGED}
    try:
        for quantiser, method in own:
            setattr(quantiser, method, _CHANGED[method])
        yield
    finally:
        for (quantiser, method), function in own.items():
            setattr(quantiser, method, function)


def _accept(quantiser: Any, *_: Any, **__: Any) -> None:
    pass


def _as_given(quantiser: Any, device_map: Any) -> Any:
    # Without a map both libraries read onto the CPU.
    return device_map


_CHANGED = {"validate_environment": _accept, "update_device_map": _as_given}
