"""`advanced-models tiny ARCHITECTURE DIR`: build one small model with random weights."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..demo.build import ARCHITECTURES, BUILDERS, build, model_id
from ..demo.weights import DTYPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `tiny` takes."""
    known = ", ".join([*ARCHITECTURES, *BUILDERS])
    parser.epilog = f"What can be built: {known}."
    parser.add_argument("architecture", metavar="ARCHITECTURE", help="an architecture (flux) or a model (FLUX.1-schnell)")
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new folder for the model, or one that was built here")
    parser.add_argument("--dtype", default="bf16", choices=DTYPES, help="how the weights are stored (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Build it and say what was made."""
    model = model_id(args.architecture)
    started = time.perf_counter()
    folder = build(model, args.folder, args.dtype)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {model} with random weights, {size / 1e6:.1f} MB, {time.perf_counter() - started:.1f} s")
    return 0
