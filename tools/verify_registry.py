"""Prove the registry's parameter counts, and record what the memory figures need.

Builds the class of every component on the meta device (no memory, no download) from its bundled config, counts its parameters, and
compares them with `registry.yaml` and with `memory/parameter_counts.json`. A component whose class, or one of whose options, the
installed library does not have yet is skipped, with the reason.

    python tools/verify_registry.py [COMPONENT ...] [--write] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import json
import logging
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advanced_models.errors import UserError
from advanced_models.loaders.registry import REGISTRY_FILE, read_registry
from advanced_models.loaders.schema import ComponentEntry
from advanced_models.memory.weights import COUNTS_FILE, LibraryRules, ParameterCounts, parameter_counts

if TYPE_CHECKING:
    import torch

CONFIGS = REGISTRY_FILE.parent / "loaders" / "configs"

# Classes that diffusers does not export at its top.
_INNER_MODULES = {"ReduxImageEncoder": "diffusers.pipelines.flux.modeling_flux"}


class CannotBuildError(Exception):
    """Why a component cannot be built here; no mistake of the registry."""


@dataclass
class Result:
    """What came out for one component."""

    component: str
    parameters: int
    download_bytes: int
    status: str
    """`ok`, `skipped` or `wrong`."""
    reason: str = ""
    counts: ParameterCounts | None = None


def build_on_meta(entry: ComponentEntry) -> torch.nn.Module:
    """The component's full-size module without memory.

    Raises:
        CannotBuildError: there is no bundled config, or the installed library lacks the class or one of its options.
    """
    import torch

    path = CONFIGS / entry.id / "config.json"
    if not path.is_file():
        raise CannotBuildError("no bundled config")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    cls = _component_class(entry)
    with torch.device("meta"):
        if entry.library == "transformers":
            module = cls(cls.config_class.from_dict(config))
        else:
            unknown = [key for key in config if key != "_class_name" and key not in inspect.signature(cls).parameters]
            if unknown:
                raise CannotBuildError(f"{entry.class_name} has no option '{unknown[0]}' here")
            module = cls.from_config(config)
    assert isinstance(module, torch.nn.Module)
    return module


def _component_class(entry: ComponentEntry) -> Any:
    for module in (entry.library, _INNER_MODULES.get(entry.class_name)):
        cls = getattr(importlib.import_module(module), entry.class_name, None) if module else None
        if cls is not None:
            return cls
    library = importlib.import_module(entry.library)
    raise CannotBuildError(f"{entry.library} {library.__version__} has no {entry.class_name}")


def verify(entry: ComponentEntry, recorded: ParameterCounts | None, *, write: bool = False) -> Result:
    """Build one component and compare; with `write`, what is recorded does not matter."""
    from advanced_models.memory.counting import count_parameters

    result = Result(entry.id, entry.parameters, entry.download_bytes, "ok")
    named = _named_class(entry)
    if named not in (None, entry.class_name):
        return dataclasses.replace(result, status="wrong", reason=f"the bundled config is one of {named}")
    try:
        counts = count_parameters(build_on_meta(entry))
    except CannotBuildError as reason:
        return dataclasses.replace(result, status="skipped", reason=str(reason))
    result.counts = counts
    if counts.parameters != entry.parameters:
        return dataclasses.replace(result, status="wrong", reason=f"the class has {counts.parameters:,} parameters")
    # What bitsandbytes and layerwise casting touch differs a little between versions; the file records the newest.
    if LibraryRules.installed() == LibraryRules() and recorded != counts and not write:
        return dataclasses.replace(result, status="wrong", reason="parameter_counts.json differs: run with --write")
    return result


def _named_class(entry: ComponentEntry) -> str | None:
    """The class that the bundled config is for."""
    path = CONFIGS / entry.id / "config.json"
    if not path.is_file():
        return None
    config = json.loads(path.read_text(encoding="utf-8"))
    return config.get("_class_name") or next(iter(config.get("architectures") or []), None)


def verify_all(entries: Iterable[ComponentEntry], *, write: bool = False) -> list[Result]:
    """Verify components in turn."""
    recorded = {} if write and not COUNTS_FILE.is_file() else parameter_counts()
    return [verify(entry, recorded.get(entry.id), write=write) for entry in entries]


def write_counts(results: Sequence[Result], known: Iterable[str]) -> None:
    """Record the counts of what was built, keep the others, and drop what the registry no longer knows."""
    merged = dict(parameter_counts()) if COUNTS_FILE.is_file() else {}
    merged.update({result.component: result.counts for result in results if result.counts and result.status == "ok"})
    rows = [
        f"  {json.dumps(name)}: {json.dumps({key: n for key, n in dataclasses.asdict(merged[name]).items() if n})}"
        for name in known
        if name in merged
    ]
    COUNTS_FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def _table(results: Sequence[Result]) -> str:
    width = max(len(result.component) for result in results)
    head = f"{'component':<{width}}  {'parameters':>15}  {'download GB':>11}"
    lines = [
        f"{r.component:<{width}}  {r.parameters:>15,}  {r.download_bytes / 1e9:>11.3f}  {r.status} {r.reason}".rstrip() for r in results
    ]
    return "\n".join([head, *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; 1 when a component is wrong, 2 when it cannot be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("components", nargs="*", metavar="COMPONENT", help="component ids; all with weights by default")
    parser.add_argument("--write", action="store_true", help="write memory/parameter_counts.json from what was built")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        if options.write and LibraryRules.installed() != LibraryRules():
            raise UserError("--write records the rules of the newest libraries: update diffusers and transformers first.")
        registry = read_registry(REGISTRY_FILE)
        entries = [registry.component(name) for name in options.components] or list(registry.components.values())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    results = verify_all([entry for entry in entries if entry.parameters], write=options.write)
    if options.write:
        write_counts(results, registry.components)
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
    else:
        print(_table(results))
        tally = {status: sum(r.status == status for r in results) for status in ("ok", "skipped", "wrong")}
        print(", ".join(f"{count} {status}" for status, count in tally.items()))
    return 1 if any(result.status == "wrong" for result in results) else 0


if __name__ == "__main__":
    # The libraries warn of classes that are only built on the meta device. This process alone is quiet, not one that imports the tool.
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    sys.exit(main())
