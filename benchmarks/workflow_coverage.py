"""How many shared workflows `check` understands: whole, in part, not, and why; whether it names every file of the registry's
architectures with bytes, licence and gate; and its verdicts for usual cards.

    python benchmarks/workflow_coverage.py FOLDER [--ram GB] [--verbose]

FOLDER holds workflow files, for instance the templates of the package comfyui-workflow-templates-json (unpack its wheel; it is not part of
this repository). Files that are no workflows, such as its index, are counted apart.
"""

from __future__ import annotations

import argparse
import collections
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from advanced_models.cli.check import USUAL_CARDS, known_definitions
from advanced_models.errors import UserError
from advanced_models.memory.plan_values import Machine
from advanced_models.memory.preflight import Preflight, preflight
from advanced_models.memory.preflight_report import describe
from advanced_models.workflows.document import read_workflow


def reason(flight: Preflight) -> str:
    """Why a workflow is not understood whole."""
    if flight.understood == "whole":
        return ""
    if not flight.facts.loaded and not flight.facts.unknown:
        return "no model files" if not flight.facts.runs else "a sampler, and no loader that is known"
    if flight.facts.unknown:
        return "files that the registry does not know"
    if any(run.workload is None for run in flight.facts.runs):
        return "the size comes from a linked picture or node"
    return "no sampler that is known"


def lacking(answer: dict[str, Any]) -> list[str]:
    """What of bytes, licence, gate and verdicts is not there, for the files of one workflow that the registry knows."""
    faults = [
        f"{file['file']}: {fact}"
        for file in answer["components"]
        for fact, there in (
            ("bytes", file["bytes"] > 0),
            ("licence", file["licence"] is not None),
            ("gate", file["gated"] is not None),
        )
        if not there
    ]
    return faults + [f"a verdict for {card} GB" for card, other in answer["cards"].items() if other["verdict"] == "unknown"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ram", type=float, default=64)
    parser.add_argument("--verbose", action="store_true", help="also print each file's answer")
    options = parser.parse_args()
    definitions = known_definitions()
    tally: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    unknown: collections.Counter[str] = collections.Counter()
    verdicts = {card: collections.Counter[str]() for card in USUAL_CARDS}
    times = []
    failures = 0
    named: list[dict[str, Any]] = []
    uncounted: dict[str, int | None] = {}
    incomplete: list[str] = []
    for path in sorted(options.folder.glob("*.json")):
        try:
            document = read_workflow(path)
        except UserError:
            tally["no workflow"] += 1
            continue
        try:
            started = time.process_time()
            flight = preflight(document.prompt(definitions))
            reports = {card: flight.judge(Machine.of(card, options.ram)) for card in USUAL_CARDS}
            times.append((time.process_time() - started) * 1000)
        except Exception as error:  # noqa: BLE001 - counting failures is what this is for
            failures += 1
            print(f"FAILED {path.name}: {type(error).__name__}: {error}")
            continue
        tally[flight.understood] += 1
        reasons[reason(flight)] += 1
        unknown.update(flight.facts.unknown)
        if flight.parts:
            answer = describe(path.name, flight, reports[16], reports)
            named += answer["components"]
            uncounted |= flight.facts.uncounted
            incomplete += [f"{path.name}: {fault}" for fault in lacking(answer)]
            for card, report in reports.items():
                verdicts[card][report.verdict] += 1
        if options.verbose:
            names = ", ".join(dict.fromkeys(part.component for part in flight.parts))
            print(f"{path.name:<70} {flight.understood:<6} {reports[16].verdict:<15} {names}")
    total = sum(tally[name] for name in ("whole", "part", "none"))
    print(f"{total + failures} workflows, {failures} failures; {tally['no workflow']} other files")
    for name in ("whole", "part", "none"):
        print(f"  understood {name:<6} {tally[name]}")
    for why, count in reasons.most_common():
        if why:
            print(f"    {count:>4}  {why}")
    print(f"{sum(verdicts[16].values())} workflows load files of the registry's architectures: {len(named)} in all,")
    print(f"  {len({file['file'] or file['component'] for file in named})} distinct, each named with its bytes, licence and gate; ", end="")
    print(f"a verdict for {', '.join(map(str, USUAL_CARDS))} GB in each; lacking: {len(incomplete)}")
    for fault in incomplete:
        print(f"    {fault}")
    print(f"  the gate of {len({file['file'] for file in named if file['gated'] == 'unknown'})} files is not known, and said to be so")
    sized = sum(size is not None for size in uncounted.values())
    print(f"  with them {len(uncounted)} LoRAs, control networks and upscalers, {sized} with their bytes, none of them in the estimate")
    print("most frequent unknown files: " + ", ".join(f"{name} ({count})" for name, count in unknown.most_common(12)))
    for card, counts in verdicts.items():
        print(f"  {card:>2} GB: " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.most_common()))
    print(f"CPU for reading one file's graph and four verdicts: median {statistics.median(times):.1f} ms, most {max(times):.1f} ms")
    return 1 if failures or incomplete else 0


if __name__ == "__main__":
    sys.exit(main())
