"""Warnings that follow from a model's other facts, so that nobody has to type them, or a figure in them, into the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from .schema import DTYPE_BYTES, Model, ModelWarning

LARGE_DOWNLOAD = 25e9
VERY_LARGE_DOWNLOAD = 75e9
"""Bytes from which a download fills a good part of, or most of, what is free on a common disk."""

LARGE_COMPONENT_GIB = 15
"""From here on, a component in bf16 leaves a 16 GB card no room to compute."""

_URGENCY = {"danger": 0, "caution": 1, "info": 2}


class ComputedWarning(ModelWarning):
    """A warning whose text is `template` with `values` in place of the names in braces: the page says it so in its own language."""

    template: str
    values: dict[str, str]


def all_warnings(model: Model) -> list[ModelWarning]:
    """The model's own warnings and the computed ones, the most urgent first. The model must be bound."""
    return sorted([*model.warnings, *_computed(model)], key=lambda warning: _URGENCY[warning.level])


def _computed(model: Model) -> Iterator[ComputedWarning]:
    """What the figures, the licence, the gate and the pipelines of a model make worth knowing."""
    if model.availability == "api_only":
        yield _warning("info", "Runs only as a paid service of its maker; there are no weights to download.")
        return
    if model.availability == "native_only":
        yield _warning("caution", "Runs only in ComfyUI's own nodes so far: diffusers has no pipeline for it.")
    size = model.download_bytes
    if size >= VERY_LARGE_DOWNLOAD:
        yield _warning("danger", "Very large download: {size} GB.", size=f"{size / 1e9:.0f}")
    elif size >= LARGE_DOWNLOAD:
        yield _warning("caution", "Large download: {size} GB.", size=f"{size / 1e9:.0f}")
    largest = max((entry.parameters for entry in model.entries.values()), default=0) * DTYPE_BYTES["bf16"] / 2**30
    if largest >= LARGE_COMPONENT_GIB:
        template = "Its largest component takes {size} GiB in bf16: smaller cards need offloading, fp8 or 4 bits."
        yield _warning("caution", template, size=f"{largest:.0f}")
    if model.modular_only:
        yield _warning("caution", "Experimental: only Modular Diffusers can run it, whose interface still changes.")
    if model.licence.commercial != "yes":
        no = model.licence.commercial == "no"
        verb = "does not allow commercial use of the model" if no else "sets conditions for commercial use"
        note = {"note": model.licence.note} if model.licence.note else {}
        template = "The licence ({name}) " + verb + ("; {note}." if note else ".")
        yield _warning("caution", template, name=model.licence.name, **note)
    if model.gated == "yes":
        yield _warning("info", "Needs a free Hugging Face account that has accepted the terms on the model's page.")


def _warning(level: Literal["info", "caution", "danger"], template: str, **values: str) -> ComputedWarning:
    return ComputedWarning(level=level, text=template.format(**values), template=template, values=values)
