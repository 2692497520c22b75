"""The command line `advanced-models`: one module per command, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from ..errors import UserError

# command -> what `advanced-models --help` says of it. The module of the same name has `add_arguments(parser)` and `run(args) -> int`.
COMMANDS = {
    "run": "run a workflow file without ComfyUI",
    "models": "list the models of the registry: sizes, memory, licence, warnings",
    "video": "say what a video file holds",
    "download": "download what a model lacks, after a table of files, bytes, free disk and licence",
    "check": "say before anything is downloaded whether a workflow fits, and what would",
    "estimate": "memory that components need, with the terms each figure is made of",
    "demo": "build small models and run the example workflows with them",
    "tiny": "build one small model of an architecture with random weights",
    "doctor": "print versions and what is broken or missing, with the remedy",
}

USAGE_ERROR = 2
"""Exit code for input that cannot be used: a bad file, an unknown node, a wrong link. A node that fails while running exits with 1."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="advanced-models", description="FLUX, Wan and Qwen, component by component.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in words[:1]:
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    options = parser.parse_args(words)
    try:
        return int(options.run(options))
    except UserError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; Python would complain once more when it closes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def quiet_libraries() -> None:
    """Keep the libraries' advice, meant for those who call them directly, out of the terminal. Call it before they are imported."""
    for library in ("TRANSFORMERS", "DIFFUSERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
