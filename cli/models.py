"""`advanced-models models`: what the registry knows, as a table to read or as JSON."""

from __future__ import annotations

import argparse
import difflib
import json
import textwrap
from collections.abc import Iterator
from typing import Any

from ..errors import UserError
from ..loaders.registry import Registry, load_registry
from ..loaders.schema import Model
from ..memory.weights import WeightPrecision, model_weight_bytes

GB = 1e9
"""Downloads are counted in GB (10^9 bytes), as the hub does."""
GIB = 2**30
"""Memory is counted in GiB (2^30 bytes), as graphics cards are."""

PRECISIONS: tuple[WeightPrecision, ...] = ("bf16", "int8", "nf4")
_MARKS = {"danger": "!!", "caution": " !", "info": "  "}
_WIDTH = 110


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print JSON: sizes in bytes, every field")
    parser.add_argument("--architecture", metavar="A", help="only this architecture: flux, wan, qwen_image, ...")


def run(args: argparse.Namespace) -> int:
    """Print the models; a UserError when there is no such architecture."""
    registry = load_registry()
    models = [model for model in registry.models.values() if args.architecture in (None, model.architecture)]
    if not models:
        near = difflib.get_close_matches(args.architecture, registry.architectures, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(registry.architectures)}."
        raise UserError(f"The registry has no architecture '{args.architecture}'; {hint}")
    if args.json:
        print(json.dumps([describe(registry, model) for model in models], indent=2))
    else:
        print("\n".join(_table(registry, models)))
    return 0


def describe(registry: Registry, model: Model) -> dict[str, Any]:
    """A model as JSON; sizes in bytes, None where there are no weights to download."""
    has_weights = bool(model.components)
    return {
        **model.model_dump(by_alias=True, exclude={"sources"}),
        "tasks": model.tasks,
        "download_bytes": model.download_bytes if has_weights else None,
        "weight_bytes": {p: model_weight_bytes(model, p) if has_weights else None for p in PRECISIONS},
        "sources": {field: registry.sources[source].model_dump() for field, source in model.sources.items()},
        "unverified": [field for field, source in model.sources.items() if not registry.sources[source].verified],
    }


def _table(registry: Registry, models: list[Model]) -> Iterator[str]:
    width = max(len(model.id) for model in models)
    yield f"{'':<{width}}  download   weights in memory (GiB)"
    yield f"{'model':<{width}}  {'GB':>8}   {'bf16':>6} {'int8':>6} {'nf4':>6}   gated    commercial use"
    architecture = None
    for model in models:
        if model.architecture != architecture:
            architecture = model.architecture
            yield f"\n{registry.architectures[architecture].name} ({architecture})"
        yield _row(model, width)
        tasks = ", ".join(task.replace("_", " ") for task in model.tasks) or ", ".join(model.features)
        yield f"    {model.name}: {tasks}. Licence: {model.licence.name}"
        for warning in model.warnings:
            mark = f"    {_MARKS[warning.level]} "
            yield textwrap.fill(warning.text, _WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))
    yield "\n!! and ! mark what to know before downloading. Memory is that of the weights alone: computing needs more."


def _row(model: Model, width: int) -> str:
    if not model.components:
        sizes = f"{'-':>8}   " + " ".join(f"{'-':>6}" for _ in PRECISIONS)
    else:
        weights = (model_weight_bytes(model, precision) / GIB for precision in PRECISIONS)
        sizes = f"{model.download_bytes / GB:>8.1f}   " + " ".join(f"{size:>6.1f}" for size in weights)
    gated = "-" if model.availability == "api_only" else model.gated
    return f"{model.id:<{width}}  {sizes}   {gated:<8} {model.licence.commercial}"
