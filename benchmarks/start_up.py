"""What the pack costs ComfyUI at start-up: CPU seconds to import it and to answer for every node's inputs, beside importing torch.

Each figure is the median of fresh processes, an empty interpreter's own time taken off.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

RUNS = 7
SCRIPTS = {
    "empty interpreter": "",
    "import the pack": "import advanced_models",
    "import, all inputs": "import advanced_models\nfor node in advanced_models.NODE_CLASS_MAPPINGS.values(): node.INPUT_TYPES()",
    "import torch": "import torch",
}
TARGET = 0.3


def cpu_seconds(script: str) -> float:
    """User and system time of a fresh process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    figures: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    for _ in range(RUNS):
        for name, script in SCRIPTS.items():
            figures[name].append(cpu_seconds(script))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    empty = medians.pop("empty interpreter")
    for name, seconds in medians.items():
        print(f"{name:20} {seconds - empty:6.3f} s CPU   {(seconds - empty) / (medians['import torch'] - empty):6.1%} of importing torch")
    print(f"target for import the pack: under {TARGET} s")


if __name__ == "__main__":
    main()
