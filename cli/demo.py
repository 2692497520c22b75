"""`advanced-models demo --out DIR`: run the shipped example workflows with small models in place of the real ones."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..demo import asked
from ..demo.build import BUILDERS
from ..demo.cache import cached_models
from ..demo.pictures import draw_example
from ..demo.trained import MODELS, trained_models
from ..errors import UserError
from ..host import use
from ..host.standalone import StandaloneHost
from ..workflows.definitions import Definitions
from ..workflows.document import Document, read_workflow
from ..workflows.execute import Executor, NodeError, Run
from ..workflows.prompt import Prompt
from ..workflows.validate import validate
from . import quiet_libraries

logger = logging.getLogger(__name__)

EXAMPLES = Path(__file__).parents[1] / "example_workflows"

_NODE_FAILED = 1
_CUTS: dict[str, dict[str, int]] = {
    "frames": {"width": 192, "height": 128, "frames": 9, "steps": 4},
    "true_cfg": {"width": 256, "height": 256, "steps": 4},
    "max_new_tokens": {"max_new_tokens": 24},
    "width": {"width": 512, "height": 512},
}
"""What a node that has the input is cut down to (the first that it has counts): without a graphics card, the real sizes and steps of the
examples would take minutes even with small models."""
_PICTURE_NODES = ("LoadImage", "LoadImageMask")


@dataclass
class _Example:
    name: str
    document: Document
    prompt: Prompt

    @cached_property
    def models(self) -> frozenset[str]:
        """The models it names; `UserError` for one of which there is no small one."""
        named = {model for node in self.prompt.nodes.values() if isinstance(model := node.inputs.get("model"), str)}
        for model in sorted(named - BUILDERS.keys()):
            raise UserError(f"The demo has no small model of {model}. Run the example with the real one: advanced-models run.")
        return frozenset(named)

    @property
    def is_trained(self) -> bool:
        """Whether models do it that know how: their language and size are then what it is asked in."""
        return self.models <= trained_models()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `demo` takes."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where pictures and videos are written")
    parser.add_argument("--only", metavar="NAME", help=f"run one example alone: {', '.join(_names())}")


def run(args: argparse.Namespace) -> int:
    """Run the examples and print what each made; 0 when all ran, else 1.

    Raises:
        UserError: there is no example of that name, or an example cannot run here.
    """
    started = time.perf_counter()
    names = _chosen(args.only)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out: "{args.out}" cannot be used as a folder ({error.strerror}). Name another.') from error
    quiet_libraries()
    from ..loaders.downloads import SWITCH

    os.environ[SWITCH] = "off"  # small models only
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded
    from ..nodes import NODE_CLASS_MAPPINGS
    from ..workflows.native import NATIVE_NODES

    definitions = Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})
    host = StandaloneHost.below(args.out, models=(), output=args.out)
    use(host)
    examples = [_read(name, definitions) for name in names]
    trained = sorted({model for example in examples if example.is_trained for model in example.models})
    random = sorted({model for example in examples if not example.is_trained for model in example.models})
    print(f"Small models in place of the real ones. Trained to do what they are asked: {', '.join(trained) or 'none'}.")
    print(f"With random weights, to show that everything runs: {', '.join(random) or 'none'}.")
    built = cached_models(random)
    print(f"Models ready after {time.perf_counter() - started:.1f} s.\n", flush=True)
    failed = 0
    executor = Executor(definitions)
    for example in examples:
        host.models = (MODELS if example.is_trained else built,)
        for picture in _missing_pictures(example.prompt, host.input_folder):
            (asked.draw_start if picture.name == asked.PICTURE else draw_example)(picture)
        try:
            done = executor.run(validate(example.prompt, definitions), workflow=example.document.workflow)
        except NodeError as error:
            failed += 1
            if not isinstance(error.__cause__, UserError):
                logger.error("The traceback of the failure:", exc_info=error.__cause__)
            print(f"{example.name}: {error}", file=sys.stderr)
        else:
            _print_made(example.name, done, args.out)
    if args.only is None:
        from ..demo.contact_sheet import write_contact_sheet

        host.models = (MODELS,)
        write_contact_sheet(args.out / "contact_sheet.png")
        print(f"What the trained models do: {args.out / 'contact_sheet.png'}")
    print(f"\n{len(examples) - failed} of {len(examples)} examples ran, {time.perf_counter() - started:.1f} s in all.")
    return _NODE_FAILED if failed else 0


def _names() -> list[str]:
    return sorted(file.stem for file in EXAMPLES.glob("*.json"))


def _chosen(only: str | None) -> list[str]:
    names = _names()
    if only is None:
        return names
    if only not in names:
        raise UserError(f"There is no example '{only}'. The examples are: {', '.join(names)}.")
    return [only]


def _read(name: str, definitions: Definitions) -> _Example:
    document = read_workflow(EXAMPLES / f"{name}.json")
    example = _Example(name, document, document.prompt(definitions))
    if name in asked.VALUES:
        _ask(example.prompt, asked.VALUES[name])
    else:
        _shorten(example.prompt)
    return example


def _ask(prompt: Prompt, values: Mapping[str, Any]) -> None:
    """Put in what a trained small model understands, as `NODE.INPUT` and value."""
    for node in prompt.nodes.values():
        for place, value in values.items():
            class_type, _, name = place.partition(".")
            if node.class_type == class_type:
                prompt.set(node, name, value)


def _shorten(prompt: Prompt) -> None:
    """Make long runs small and short, in the prompt and in the graph that the file will carry."""
    for node in prompt.nodes.values():
        cut = next((cut for name, cut in _CUTS.items() if name in node.inputs), {})
        for name, value in cut.items():
            if name in node.inputs:
                prompt.set(node, name, value)


def _missing_pictures(prompt: Prompt, folder: Path) -> Iterator[Path]:
    for node in prompt.nodes.values():
        name = node.inputs.get("image")
        if node.class_type in _PICTURE_NODES and isinstance(name, str) and not (folder / name).exists():
            yield folder / name


def _print_made(name: str, done: Run, out: Path) -> None:
    made = [f"{_measure(out / path)}  {out / path}" for node in done.nodes for kind, path in node.files if kind == "output"]
    made += [f"{len(text)} characters: {text[:60]!r}" for node in done.nodes for text in node.texts]
    for line in dict.fromkeys(made) or ["no file"]:
        print(f"{name:<24} {done.seconds:5.1f} s  {line}", flush=True)


def _measure(file: Path) -> str:
    size = f"{file.stat().st_size / 1000:5.0f} kB"
    if file.suffix == ".png":
        from PIL import Image

        with Image.open(file) as picture:
            return f"{picture.width} x {picture.height},            {size}"
    from ..video.info import read_info

    clip = read_info(file)
    return f"{clip.width} x {clip.height}, {clip.frame_count} frames, {size}"
