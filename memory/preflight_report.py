"""A preflight's answer as JSON, for the command line and the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..loaders.registry import load_registry
from ..loaders.schema import Gated, Licence
from .preflight import Preflight, Report, to_json
from .preflight_files import published
from .preflight_graph import Loaded


def describe(name: str, flight: Preflight, report: Report, others: dict[int, Report]) -> dict[str, Any]:
    """The answer as JSON: sizes in bytes; `others` are verdicts for cards of so many GB."""
    return {
        "workflow": name,
        "understood": flight.understood,
        **to_json(report),
        "cards": {str(card): {"verdict": other.verdict} for card, other in others.items()},
        "models": [
            {
                "id": model.id,
                "name": model.name,
                "licence": model.licence.name,
                "commercial": model.licence.commercial,
                "gated": model.gated,
                "warnings": [warning.model_dump() for warning in model.warnings],
            }
            for model in flight.models
        ],
        "components": [
            {
                "node": loaded.node,
                "role": loaded.role,
                "component": loaded.component,
                "file": loaded.file and loaded.file.name,
                "model": loaded.model,
                "bytes": size,
                **_terms(loaded),
            }
            for loaded, size in components(flight)
        ],
        "files": [{"name": file.name, "folder": file.folder, "model": file.model, "bytes": file.size} for file in flight.facts.files],
        "unknown_files": flight.facts.unknown,
        "uncounted_files": [{"name": name, "bytes": size} for name, size in flight.facts.uncounted.items()],
        "download_bytes": flight.download_bytes(),
        "notes": list(flight.notes),
    }


def components(flight: Preflight) -> Iterator[tuple[Loaded, int]]:
    """Each component that the graph loads, with the bytes of its files."""
    for loaded in flight.facts.loaded:
        yield loaded, loaded.size or load_registry().component(loaded.component).download_bytes


def terms(loaded: Loaded) -> tuple[Licence | None, Gated]:
    """Licence and gate of a component: its model's, or those of the model that it was published with (its first location).

    A copy in a repository of somebody else's, as ComfyUI's templates name it, comes without a gate.
    """
    registry = load_registry()
    repository = registry.component(loaded.component).locations[0].repository
    published_with = next((model for model in registry.models.values() if model.repository == repository), None)
    model = published_with if loaded.model is None else registry.model(loaded.model)
    if model is None:
        return None, "unknown"
    copy = published(loaded.file.name, loaded.file.folder) if loaded.file is not None else None
    owner = (model.repository or "").split("/")[0]
    return model.licence, "no" if copy is not None and copy[1].split("/")[0] != owner else model.gated


def _terms(loaded: Loaded) -> dict[str, Any]:
    licence, gated = terms(loaded)
    return {"licence": licence and licence.name, "commercial": licence and licence.commercial, "gated": gated}
