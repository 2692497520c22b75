"""`advanced-models download MODEL`: bring what a model lacks, after a table of what that is."""

from __future__ import annotations

import argparse

from ..loaders.component import Component, select_component
from ..loaders.downloads import check_gate, download, is_complete, plan, show_licence_once
from ..loaders.registry import load_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", help="a model of the registry; `advanced-models models` lists them")
    parser.add_argument("--component", metavar="ROLE", help="only this part, such as transformer or vae")
    parser.add_argument("--dry-run", action="store_true", help="print what would be downloaded and stop")


def run(args: argparse.Namespace) -> int:
    """Print the table, then download."""
    roles = [args.component] if args.component else list(load_registry().model(args.model).components)
    parts: dict[str, Component] = {}
    for role in roles:
        component = select_component(args.model, role)
        parts.setdefault(component.id, component)
    lacking = {part.role: plan(part) for part in parts.values() if not is_complete(part)}
    for part in parts.values():
        if part.role not in lacking:
            print(f"{part.role:<18} here already")
    for role, wanted in lacking.items():
        print(f"{role:<18} {wanted.repository}{', gated' if wanted.gated else ''}")
        for file in wanted.files:
            print(f"  {file.name:<66} {file.size:>15,}{'  cached' if wanted.is_here(file) else ''}")
    print(f"to download: {sum(wanted.missing_bytes for wanted in lacking.values()):,} bytes")
    for wanted in list(lacking.values())[:1]:
        print(f"free disk:   {wanted.free_bytes:,} bytes")
    if licence := show_licence_once(next(iter(parts.values()))):
        print(licence)
    for wanted in lacking.values():
        wanted.check_disk()
        check_gate(wanted)
    if not args.dry_run:
        for wanted in lacking.values():
            download(wanted)
    return 0
