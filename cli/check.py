"""`advanced-models check`: whether a workflow fits this machine or another one, before anything is downloaded."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

from ..memory.plan_values import GIB, Machine, Plan
from ..memory.preflight import Preflight, Report, preflight
from ..memory.preflight_native import definitions
from ..memory.preflight_report import components, describe, terms
from ..workflows.definitions import Definitions, NodeDefinition
from ..workflows.document import read_workflow

FITS, FITS_WITH_PLAN, DOES_NOT_FIT = 0, 3, 4
"""Exit codes; a file that cannot be read exits with 2. A workflow of which nothing is known exits with 0 and says so."""
USUAL_CARDS = (8, 12, 16, 24)
CARD_WITHOUT_ONE = 16
"""GB judged for when there is no card here and none is named."""
_WIDTH = 110

_GATES = {"yes": ", needs a login and its terms accepted", "no": "", "unknown": ", may need a login"}
_SENTENCES = {
    "fits": "fits as it is",
    "tight": "fits as it is, with little to spare: close other programs that use the card",
    "fits_with_plan": "fits with this plan",
    "does_not_fit": "does not fit",
    "unknown": "unknown: no model of this workflow is in the registry",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("workflow", type=Path, help="a workflow that ComfyUI saved or exported")
    parser.add_argument(
        "--vram", type=_gigabytes, metavar="GB", help=f"the card's memory; by default this machine's, {CARD_WITHOUT_ONE} without one"
    )
    parser.add_argument("--ram", type=_gigabytes, metavar="GB", help="main memory; by default this machine's")
    parser.add_argument("--json", action="store_true", help="print JSON: sizes in bytes")


def run(args: argparse.Namespace) -> int:
    """Print the verdict; the exit code tells it too."""
    flight = preflight(read_workflow(args.workflow).prompt(known_definitions()))
    vram, here = (args.vram, False) if args.vram else _own_card()
    ram = args.ram or _own_memory()
    report = flight.judge(Machine.of(vram, ram), look_further=True)
    others = {card: flight.judge(Machine.of(card, ram)) for card in USUAL_CARDS}
    if args.json:
        print(json.dumps(describe(args.workflow.name, flight, report, others), indent=2))
    else:
        print("\n".join(_lines(args.workflow.name, flight, report, others, vram, ram, here)))
    return exit_code(report)


def known_definitions() -> dict[str, NodeDefinition]:
    """What is known of node classes: ours, those that run here without ComfyUI, and ComfyUI's loaders and sizes."""
    from .. import NODE_CLASS_MAPPINGS
    from ..workflows.native import NATIVE_NODES

    return {**definitions(), **Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})}


def exit_code(report: Report) -> int:
    if report.verdict == "does_not_fit":
        return DOES_NOT_FIT
    return FITS_WITH_PLAN if report.verdict == "fits_with_plan" else FITS


def _lines(name: str, flight: Preflight, report: Report, others: dict[int, Report], vram: float, ram: float, here: bool) -> Iterator[str]:
    yield f"{name}: {_made(flight)}"
    for model in flight.models:
        use = {"yes": "commercial use allowed", "no": "no commercial use", "conditional": "commercial use under conditions"}[
            model.licence.commercial
        ]
        yield f"  {model.name}: {model.licence.name} ({use}){_GATES[model.gated]}"
        for warning in model.warnings:
            if warning.level != "info":
                yield textwrap.fill(warning.text, _WIDTH, initial_indent="    ! ", subsequent_indent="      ")
    yield ""
    yield from _files(flight)
    for file in flight.facts.unknown:
        yield f"  not known: {file}"
    for note in flight.notes:
        yield textwrap.fill(note, _WIDTH, initial_indent="  note: ", subsequent_indent="        ")
    yield ""
    place = "this machine" if here else "a card"
    yield f"On {place} with {vram:g} GB and {ram:g} GB of main memory it {_SENTENCES[report.verdict]}."
    if report.as_it_is is not None and report.verdict in ("fits_with_plan", "does_not_fit"):
        own, machine = report.as_it_is, report.machine
        card, main = (f"{size / GIB:.1f}" for size in (machine.usable, machine.usable_host))
        yield f"  As it is: {own.peak / GIB:.1f} GiB on the card, of whose {machine.device / GIB:.1f} GiB {card} can be filled safely;"
        yield f"    {own.host / GIB:.1f} GiB in main memory, of which {main} can be used."
    if report.plan is not None:
        yield from _plan(report.plan, report.verdict)
    if report.better is not None:
        yield textwrap.fill(f"Better, {report.better.text}.", _WIDTH, initial_indent="  ", subsequent_indent="    ")
    if report.nearest:
        yield f"  What would fit: {report.nearest.words()}."
    yield "  " + ", ".join(f"{card} GB: {other.verdict.replace('_', ' ')}" for card, other in others.items())


def _files(flight: Preflight) -> Iterator[str]:
    """A table of what is loaded, the terms it comes under, and the bytes."""
    rows = [("part or file", "component", "GB", "licence")]
    for loaded, size in components(flight):
        licence, gated = terms(loaded)
        marks = [licence.name if licence is not None else "not known", *(["login"] if gated == "yes" else [])]
        rows.append((loaded.file.name if loaded.file is not None else loaded.role, loaded.component, f"{size / 1e9:.2f}", ", ".join(marks)))
    rows += [
        (file, "memory not counted", "?" if size is None else f"{size / 1e9:.2f}", "") for file, size in flight.facts.uncounted.items()
    ]
    if len(rows) == 1:
        return
    rows.append(("together, each once", "", f"{flight.download_bytes() / 1e9:.2f}", ""))
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, component, gigabytes, under in rows:
        yield f"  {name:<{first}}  {component:<{second}} {gigabytes:>7}  {under}".rstrip()


def _made(flight: Preflight) -> str:
    denoiser = next((part for part in flight.parts if part.kind == "denoiser"), None)
    if denoiser is None:
        return "no sampler of a known model" if flight.parts else "nothing that the registry knows"
    work = denoiser.workload
    frames = f", {work.frames} frames" if work.frames > 1 else ""
    batch = f", {work.batch} at once" if work.batch > 1 else ""
    return f"{work.width}x{work.height}{frames}{batch}"


def _plan(plan: Plan, verdict: str) -> Iterator[str]:
    if verdict == "does_not_fit":
        yield f"  It would with what cannot be run here yet ({', '.join(plan.missing)}):"
    for part, choice in plan.choices.items():
        yield f"    {part:<22} {choice.describe()}"
    for need in plan.needs:
        sizes = f"weights {need.weights / GIB:.1f}, activations {need.activations / GIB:.1f}"
        yield f"    {need.stage:<8} {need.part:<16} {need.device / GIB:6.1f} GiB: {sizes}"


def _gigabytes(text: str) -> float:
    value = float(text)
    if not 0 < value < 100_000:
        raise argparse.ArgumentTypeError("give a number of GB above 0")
    return value


def _own_card() -> tuple[float, bool]:
    """GB of this machine's card, as cards are sold."""
    from importlib.util import find_spec

    if find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            return round(torch.cuda.get_device_properties(0).total_memory / GIB), True
    return CARD_WITHOUT_ONE, False


def _own_memory() -> float:
    import psutil

    return float(round(psutil.virtual_memory().total / GIB))
