"""What components cost before anything runs: bytes to download, bytes of that already here, memory of the weights, licence, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, cast

from ..loaders.as_stored import stored_weights
from ..loaders.backends import torchao_stands_in
from ..loaders.component import Component
from ..loaders.downloads import is_complete
from ..loaders.folder_files import folders_held
from ..loaders.registry import Registry, load_registry
from ..loaders.schema import Model
from .weights import WEIGHT_PRECISIONS, WeightPrecision, model_weight_bytes, weight_bytes


def handles(values: Iterable[Any]) -> Iterator[Component]:
    """The handles among the outputs of a node, also those inside values made of handles."""
    for value in values:
        if isinstance(value, Component):
            yield value
        elif is_dataclass(value) and not isinstance(value, type):
            yield from handles(getattr(value, entry.name) for entry in fields(value))


@folders_held()
def cost_of(values: Iterable[Any]) -> dict[str, Any]:
    """The cost of all handles among `values`, as JSON with sizes in bytes. A component that is named twice counts once.

    Nothing is downloaded or read; whether files are here is looked up in the folders.
    """
    distinct = {component.id: component for component in handles(values)}
    parts = [_part(component) for component in distinct.values()]
    models = {component.model: component.model_entry for component in distinct.values()}
    return {
        "components": parts,
        "download_bytes": sum(part["download_bytes"] for part in parts),
        "here_bytes": sum(part["download_bytes"] for part in parts if part["here"]),
        "memory_bytes": sum(part["memory_bytes"] for part in parts),
        # A model's warnings are about all of it, and do not hold for one encoder taken from it.
        "models": [facts(model, whole=_networks(model) <= set(distinct)) for model in models.values()],
    }


def facts(model: Model, *, whole: bool = True) -> dict[str, Any]:
    """What the page says of a model: marks, terms, and its warnings where the whole model is meant."""
    return {
        "id": model.id,
        "name": model.name,
        "licence": model.licence.model_dump(),
        "gated": model.gated,
        "advanced": model.advanced,
        "experimental": model.modular_only,
        "warnings": [warning.model_dump() for warning in model.warnings] if whole else [],
    }


def in_words(values: Iterable[Any]) -> list[str]:
    """The same for a person, a line each: the bytes, and for each model its terms and what the registry warns of, the most urgent first."""
    cost = cost_of(values)
    missing = cost["download_bytes"] - cost["here_bytes"]
    here = "all of it is here" if not missing else f"{missing / 1e9:.1f} GB of it still to be downloaded"
    lines = [f"{cost['download_bytes'] / 1e9:.1f} GB of files, {here}; {cost['memory_bytes'] / 2**30:.1f} GiB of memory for the weights."]
    if any(part["precision"] == "int8" for part in cost["components"]) and torchao_stands_in():
        lines.append("int8 is torchao's here, since bitsandbytes is not installed.")
    for model in cost["models"]:
        commercial = {"yes": "commercial use allowed", "no": "no commercial use", "conditional": "commercial use under conditions"}
        lines.append(f"{model['name']}: {model['licence']['name']}, {commercial[model['licence']['commercial']]}.")
        lines += [f"{model['name']}: {warning['text']}" for warning in model["warnings"]]
    return lines


def catalogue(registry: Registry | None = None) -> list[dict[str, Any]]:
    """Every model of the registry by architecture, with its sizes; None where there are no weights to download."""
    registry = registry or load_registry()
    return [
        {
            "id": key,
            "name": architecture.name,
            "models": [
                {
                    **facts(model),
                    "availability": model.availability,
                    "tasks": model.tasks,
                    "download_bytes": model.download_bytes if model.components else None,
                    "memory_bytes": model_weight_bytes(model, "bf16") if model.components else None,
                }
                for model in registry.models.values()
                if model.architecture == key
            ],
        }
        for key, architecture in registry.architectures.items()
    ]


def _part(component: Component) -> dict[str, Any]:
    entry = component.entry
    precision = component.precision if component.precision in WEIGHT_PRECISIONS else entry.compute_dtype
    stored = stored_weights(component) if entry.parameters else None
    memory = stored[1] if stored else weight_bytes(component.id, cast(WeightPrecision, precision)) if entry.parameters else 0
    return {
        "id": component.id,
        "role": component.role,
        "precision": component.precision,
        "download_bytes": entry.bytes_at(component.location),
        "here": is_complete(component),
        "memory_bytes": memory,
    }


def _networks(model: Model) -> set[str]:
    return {entry.id for entry in model.entries.values() if entry.parameters}
