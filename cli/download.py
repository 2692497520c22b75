"""`advanced-models download MODEL`: bring what a model lacks, after a table of what that is."""

from __future__ import annotations

import argparse
from typing import cast

from ..loaders.as_stored import stored_weights
from ..loaders.component import Component, select_component
from ..loaders.download_plan import missing_bytes
from ..loaders.downloads import check, download, is_complete, licence_line, plan
from ..loaders.precision import PRECISIONS, QUANTISED_ROLES
from ..loaders.registry import load_registry
from ..memory.weights import WeightPrecision, weight_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", help="a model of the registry; `advanced-models models` lists them")
    parser.add_argument("--component", metavar="ROLE", help="only this part, such as transformer or vae")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="how it will be held: decides the memory, and which copy is downloaded where a smaller one is exact enough",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be downloaded and stop")


def run(args: argparse.Namespace) -> int:
    """Print the table, then download.

    Raises:
        UserError: no such model or part, a disk too small for all of it, or a hub that does not give it.
    """
    roles = [args.component] if args.component else list(load_registry().model(args.model).components)
    parts: dict[str, Component] = {}
    for role in roles:
        component = select_component(args.model, role, precision=args.precision if role.startswith(QUANTISED_ROLES) else "auto")
        parts.setdefault(component.id, component)
    lacking = {part.role: plan(part) for part in parts.values() if not is_complete(part)}
    for part in parts.values():
        if part.role not in lacking:
            print(f"{part.role:<18} here already")
    for role, wanted in lacking.items():
        print(f"{role:<18} {wanted.repository}{', gated' if wanted.gated else ''}")
        for file in wanted.files:
            print(f"  {file.name:<66} {file.size:>15,}{'  cached' if wanted.is_here(file) else ''}")
    print(f"to download: {missing_bytes(lacking.values()):,} bytes")
    for wanted in list(lacking.values())[:1]:
        print(f"free disk:   {wanted.free_bytes:,} bytes")
    for part in (part for part in parts.values() if part.entry.parameters):
        print(f"in memory:   {_weights(part):,} bytes ({part.role}, {part.precision})")
    print(f"licence:     {licence_line(next(iter(parts.values())))}")
    (check if args.dry_run else download)(list(lacking.values()))
    return 0


def _weights(part: Component) -> int:
    stored = stored_weights(part)
    return stored[1] if stored else weight_bytes(part.id, cast(WeightPrecision, part.precision))
