"""The command line of a training in stages: one of them, or `all` in order, into one folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path


def run_stages(description: str | None, stages: Mapping[str, Callable[[Path], None]]) -> None:
    """Run the stages that the command line asks for. Each is given the folder, in which it finds what those before it left."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("stage", choices=[*stages, "all"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    for stage in stages if arguments.stage == "all" else (arguments.stage,):
        stages[stage](arguments.out)
