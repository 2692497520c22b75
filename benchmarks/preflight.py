"""CPU time of a whole preflight (graph in, report out) and of the plan search alone, once the registry is loaded.

python benchmarks/preflight.py [WORKFLOW ...]        by default the example workflows
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from advanced_models.cli.check import known_definitions
from advanced_models.memory.estimate_values import Libraries
from advanced_models.memory.plan import forget_figures, plans
from advanced_models.memory.plan_values import Machine
from advanced_models.memory.preflight import preflight, to_json
from advanced_models.workflows.document import read_workflow

EXAMPLES = Path(__file__).parent.parent / "example_workflows"
ROUNDS = 15
PREFLIGHT_TARGET, SEARCH_TARGET = 50.0, 20.0


def median_ms(call: Callable[[], object]) -> float:
    """CPU milliseconds, the median of several rounds after a first one, none of which profits from figures of an earlier one."""
    call()
    times = []
    for _ in range(ROUNDS):
        forget_figures()
        started = time.process_time()
        call()
        times.append((time.process_time() - started) * 1000)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("workflows", nargs="*", type=Path)
    options = parser.parse_args()
    definitions = known_definitions()
    libraries = Libraries.installed()
    # A machine on which nothing fits searches longest: fewer frames, smaller sizes, other models.
    machines = {"24 GB": Machine.of(24, 64), "6 GB": Machine.of(6, 32)}
    worst_flight = worst_search = 0.0
    for path in options.workflows or sorted(EXAMPLES.glob("*.json")):
        document = read_workflow(path)
        for name, machine in machines.items():

            def whole(document=document, machine=machine) -> object:  # type: ignore[no-untyped-def]
                return json.dumps(to_json(preflight(document.prompt(definitions), libraries).judge(machine, look_further=True)))

            flight = preflight(document.prompt(definitions), libraries)
            took = median_ms(whole)
            search = median_ms(lambda flight=flight, machine=machine: plans(flight.parts, machine, libraries=libraries))
            worst_flight, worst_search = max(worst_flight, took), max(worst_search, search)
            print(f"{path.name:<40} {name:>6}: preflight {took:6.1f} ms, search {search:5.1f} ms")
    print(
        f"most: preflight {worst_flight:.1f} ms (target {PREFLIGHT_TARGET:.0f}), search {worst_search:.1f} ms (target {SEARCH_TARGET:.0f})"
    )
    return 0 if worst_flight <= PREFLIGHT_TARGET and worst_search <= SEARCH_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
