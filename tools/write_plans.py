"""Write docs/plans.md: the plan that VRAMGuard chooses for usual cards, for the tasks that people ask most about.

    python tools/write_plans.py [--check] [--simulate]

--check compares with the file instead of writing it; --simulate also runs every stage of every plan through the simulator (the real classes
on the meta device; some minutes) and fails where one would exceed its budget.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from advanced_models.loaders.registry import REGISTRY_FILE, load_registry
from advanced_models.memory.estimate import component_config
from advanced_models.memory.estimate_simulated import estimate_class
from advanced_models.memory.estimate_values import Libraries, Stage, StageEstimate, Workload
from advanced_models.memory.plan_values import GIB, Choice, Machine, Part, Plan
from advanced_models.memory.preflight import Preflight, Report, model_preflight

PLANS_FILE = REGISTRY_FILE.parent / "docs" / "plans.md"
CARDS = (8, 12, 16, 24, 32, 48, 80)
MEMORIES = (32, 64)
LIBRARIES = Libraries()
"""The newest that the estimates know, so that the table is the same wherever it is written."""

TASKS = (
    ("FLUX.1-dev", Workload(1024, 1024)),
    ("Wan2.2-T2V-A14B", Workload(832, 480, 81)),
    ("Wan2.2-T2V-A14B", Workload(1280, 720, 81)),
    ("Wan2.2-TI2V-5B", Workload(1280, 704, 121)),
    ("Qwen-Image", Workload(1328, 1328)),
    ("Qwen2.5-VL-7B-Instruct", Workload(1000, 1000, text_tokens=512, reference_images=1, new_tokens=512)),
)
SHORT = {"resident": "stays", "offload_model": "while used", "offload_group": "streamed", "cpu": "CPU"}


def task_flight(model_id: str, size: Workload) -> Preflight:
    """The preflight of one run of a model at a size."""
    flight = model_preflight(load_registry().model(model_id), LIBRARIES)
    return replace(flight, parts=tuple(_sized(part, size) for part in flight.parts))


def _sized(part: Part, size: Workload) -> Part:
    if part.kind == "language_model":
        return replace(part, stages=tuple((stage, size) for stage, _ in part.stages))
    if part.kind not in ("denoiser", "vae"):
        return part
    stages = ((stage, replace(own, width=size.width, height=size.height, frames=size.frames)) for stage, own in part.stages)
    return replace(part, stages=tuple(stages))


def reports() -> Iterator[tuple[str, Workload, Preflight, Machine, int, int, Report]]:
    """Every cell of the tables: model, size, preflight, machine, GB of the card, GB of main memory, report."""
    for model_id, size in TASKS:
        flight = task_flight(model_id, size)
        for memory in MEMORIES:
            for card in CARDS:
                machine = Machine.of(card, memory)
                yield model_id, size, flight, machine, card, memory, flight.judge(machine)


def text() -> str:
    """The page."""
    lines = [
        "# Plans for usual cards",
        "",
        "What VRAMGuard (mode fix) chooses, and `auto` without it. Written by `tools/write_plans.py`. No plan exceeds its budget by the",
        "planner's closed forms, nor by the simulator (`--simulate`). No card was measured.",
        "",
        "*stays*: on the card from start to end. *while used*: moved there for its stage. *streamed*: block by block, with the number of",
        "first blocks that stay. *CPU*: computes in main memory. Peak: GiB of the card in the tightest stage.",
    ]
    heading = None
    for model_id, size, flight, _, card, memory, report in reports():
        if heading != (model_id, size):
            heading = (model_id, size)
            names = [part.name for part in flight.parts]
            frames = f", {size.frames} frames" if size.frames > 1 else ""
            lines += ["", f"## {load_registry().model(model_id).name}, {size.width}x{size.height}{frames}", ""]
            lines.append(f"| card / RAM (GB) | peak | {' | '.join(name.replace('_', ' ') for name in names)} |")
            lines.append("|---" * (len(names) + 2) + "|")
        lines.append(_row(f"{card} / {memory}", names, report))
    return "\n".join(lines) + "\n"


def _row(machine: str, names: Sequence[str], report: Report) -> str:
    if report.verdict == "does_not_fit" or report.plan is None:
        nearest = f"does not fit; {report.nearest.words()}" if report.nearest else "does not fit"
        return f"| {machine} | {nearest} |{' |' * len(names)}"
    cells = [_cell(report.plan.choices[name]) for name in names]
    return f"| {machine} | {report.plan.peak / GIB:.1f} | {' | '.join(cells)} |"


def _cell(choice: Choice) -> str:
    stay = f", {choice.resident_blocks} stay" if choice.resident_blocks else ""
    tiles = "" if choice.tile is None else f", tiles{f' of {choice.tile}' if choice.tile else ''}"
    return f"{choice.precision}, {SHORT[choice.placement]}{stay}{tiles}"


@cache
def simulated(component: str, stage: Stage, workload: Workload, choice: Choice) -> StageEstimate:
    """The stage by simulating the real class; the placement does not change what it computes."""
    entry = load_registry().component(component)
    return estimate_class(
        entry.class_name, component_config(component), stage, workload, precision=choice.precision, tile=choice.tile, libraries=LIBRARIES
    )


def excess(flight: Preflight, plan: Plan, machine: Machine) -> Iterator[str]:
    """The stages of a plan that would not fit by the simulator: the weights that the plan counts, and the simulated activations."""
    parts = {part.name: part for part in flight.parts}
    for need in plan.needs:
        part, choice = parts[need.part], plan.choices[need.part]
        workload = dict(part.stages)[need.stage]
        computed = simulated(part.component, need.stage, workload, Choice(choice.precision, "resident", choice.tile))
        needed = need.device - need.activations + computed.minimum_activations
        if needed > machine.device:
            yield f"{need.part}, {need.stage}: {needed / GIB:.2f} of {machine.device / GIB:.2f} GiB"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--simulate", action="store_true")
    options = parser.parse_args()
    failures = []
    if options.simulate:
        for model_id, size, flight, machine, card, memory, report in reports():
            if report.plan is not None and report.verdict != "does_not_fit":
                failures += [
                    f"{model_id} {size.width}x{size.height} on {card}/{memory}: {line}" for line in excess(flight, report.plan, machine)
                ]
    page = text()
    if options.check:
        if not PLANS_FILE.is_file() or PLANS_FILE.read_text(encoding="utf-8") != page:
            failures.append(f"{PLANS_FILE.name} is not what the planner says now: run `python tools/{Path(__file__).name}`")
    else:
        PLANS_FILE.parent.mkdir(exist_ok=True)
        PLANS_FILE.write_text(page, encoding="utf-8", newline="\n")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
