"""A preflight's answer as JSON, for the command line and the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..loaders.registry import load_registry
from .preflight import Preflight, Report, to_json
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
            {"node": loaded.node, "role": loaded.role, "component": loaded.component, "model": loaded.model, "bytes": size}
            for loaded, size in components(flight)
        ],
        "files": [{"name": file.name, "folder": file.folder, "model": file.model, "bytes": file.size} for file in flight.facts.files],
        "unknown_files": flight.facts.unknown,
        "download_bytes": flight.download_bytes(),
        "notes": list(flight.notes),
    }


def components(flight: Preflight) -> Iterator[tuple[Loaded, int]]:
    """Each component that the graph loads, with the bytes of its files."""
    for loaded in flight.facts.loaded:
        yield loaded, loaded.size or load_registry().component(loaded.component).download_bytes
