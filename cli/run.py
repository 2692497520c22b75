"""`advanced-models run WORKFLOW.json --out DIR`: execute a workflow file without ComfyUI."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ..errors import Interrupted, UserError
from ..host import use
from ..host.standalone import StandaloneHost
from ..workflows.definitions import Definitions
from ..workflows.document import read_workflow
from ..workflows.execute import Executor, NodeError, NodeRun, Run
from ..workflows.overrides import apply_override
from ..workflows.validate import validate
from . import quiet_libraries

logger = logging.getLogger(__name__)

NODE_FAILED = 1
STOPPED = 130
"""What a shell reports for a program that Ctrl-C ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` takes."""
    parser.add_argument(
        "workflow", type=Path, metavar="WORKFLOW.json", help="a workflow as ComfyUI saves it, or exported with Export (API)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where pictures and videos are written")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help="change a value; NODE is an id, or a class or title that only one node has. May be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: outputs, timings, what was cached")
    parser.add_argument("--offline", action="store_true", help="download nothing: say what is missing instead")
    parser.add_argument("--models", type=Path, metavar="DIR", help="model folder laid out as ComfyUI's (default: ./models)")
    parser.add_argument("--input", type=Path, metavar="DIR", help="where LoadImage looks (default: the folder of the workflow)")
    parser.add_argument("--comfyui", type=Path, metavar="DIR", help="a ComfyUI folder whose models, input and user folders are used")


def run(args: argparse.Namespace) -> int:
    """Run the workflow; 0 when it ran, 1 when a node failed, 130 when it was stopped.

    Raises:
        UserError: the workflow, a `--set` or a folder is wrong.
    """
    from ..loaders.downloads import SWITCH
    from ..nodes import NODE_CLASS_MAPPINGS
    from ..workflows.native import NATIVE_NODES

    if args.offline:
        os.environ[SWITCH] = "off"
    return run_with(args, {**NATIVE_NODES, **NODE_CLASS_MAPPINGS})


def run_with(args: argparse.Namespace, classes: Mapping[str, type]) -> int:
    """`run` with the given node classes."""
    quiet_libraries()
    host = _host(args)
    use(host)
    definitions = Definitions(classes)
    document = read_workflow(args.workflow)
    prompt = document.prompt(definitions)
    for override in args.set:
        apply_override(prompt, definitions, override)
    valid = validate(prompt, definitions)
    host.prompt = valid.prompt.to_api()
    try:
        with _interruptible(host):
            done = Executor(definitions).run(valid, workflow=document.workflow, after_each=None if args.json else _print_node)
    except NodeError as failure:
        cause = failure.__cause__
        if not isinstance(cause, UserError):
            logger.error("The traceback of the failure:", exc_info=cause)
        print(failure, file=sys.stderr)
        return NODE_FAILED
    except (Interrupted, KeyboardInterrupt):
        print("Stopped; pictures that were finished before are in the output folder.", file=sys.stderr)
        return STOPPED
    if args.json:
        print(json.dumps(_report(done), default=str))
    else:
        for node in done.nodes:
            for file in _files(node):
                print(args.out / file)
    return 0


def _host(args: argparse.Namespace) -> StandaloneHost:
    named = {"--models": args.models, "--input": args.input, "--comfyui": args.comfyui}
    for option, folder in named.items():
        if folder is not None and not folder.is_dir():
            raise UserError(f'{option}: there is no folder "{folder}".')
    if args.comfyui is not None and not (args.comfyui / "models").is_dir():
        raise UserError('--comfyui: the folder has no "models" folder in it. Name the folder that holds ComfyUI\'s main.py.')
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out: "{args.out}" cannot be used as a folder ({error.strerror}). Name another.') from error
    base = args.comfyui or Path.cwd()
    models = (*((args.models,) if args.models else ()), *((base / "models",) if args.comfyui or not args.models else ()))
    host = StandaloneHost.below(base, models=models, output=args.out)
    # Previews would otherwise be left where nobody looks for them.
    host.temp_folder = args.out / "temp"
    host.input_folder = args.input or (base / "input" if args.comfyui else args.workflow.parent)
    return host


@contextmanager
def _interruptible(host: StandaloneHost) -> Iterator[None]:
    """Ctrl-C asks the running node to stop at its next check; a second one ends it at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        host.interrupt()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _print_node(node: NodeRun) -> None:
    print(f"{node.id:>6}  {node.class_type}  {'cached' if node.cached else f'{node.seconds:.2f} s'}", flush=True)


def _files(node: NodeRun) -> list[str]:
    """The files a node reports, relative to the output folder."""
    return [f"temp/{path}" if kind == "temp" else path for kind, path in node.files]


def _report(done: Run) -> dict[str, Any]:
    outputs = {node.id: {"class_type": node.class_type, "files": _files(node), **_other_ui(node)} for node in done.nodes if node.ui}
    nodes = [
        {"id": node.id, "class_type": node.class_type, "seconds": round(node.seconds, 4), "cached": node.cached} for node in done.nodes
    ]
    return {"outputs": outputs, "nodes": nodes, "seconds": round(done.seconds, 4)}


def _other_ui(node: NodeRun) -> dict[str, Any]:
    """What a node shows beside files, for example a report's text."""
    return {
        key: entries for key, entries in node.ui.items() if not any(isinstance(entry, Mapping) and "filename" in entry for entry in entries)
    }
