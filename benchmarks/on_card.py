"""Do graphs run on the cards that the planner says they fit? Example workflows with models of full size, on this card made smaller.

    python benchmarks/on_card.py --folder DIR [--examples flux wan-5b ...] [--cards 8 12 16 24] [--steps 2]

Needs a CUDA card; DIR needs room for the models (34 GB for `flux`), which are written once and have random weights: memory depends on the
shapes alone. A second process holds so much of the card that a card of the given size is left, as `Machine.of` counts it. Each run is a
process of its own and executes the workflow as it is in `example_workflows/`, with the loaders on `auto`, but for the number of steps,
which changes no peak.

Printed per card: the verdict and the plan that `auto` takes, and per stage the bytes of tensors that were predicted beside the most that
torch allocated; at the end the median and the largest of their differences. A run that should fit and fails is a fault of the planner.
What torch reserves besides, it reserves because there is room.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
EXAMPLES = {
    "flux": ("FLUX.1-schnell", "flux_text_to_image.json", "FluxDenoise"),
    "wan-1.3b": ("Wan2.1-T2V-1.3B", "wan_text_to_video.json", "WanDenoise"),
    "wan-5b": ("Wan2.2-TI2V-5B", "wan_5b_image_to_video.json", "WanDenoise"),
    "wan-a14b": ("Wan2.2-T2V-A14B", "wan_a14b_text_to_video.json", "WanDenoise"),
    "qwen-image": ("Qwen-Image", "qwen_image_text_to_image.json", "QwenImageDenoise"),
    "qwen-vl": ("Qwen2.5-VL-7B-Instruct", "qwen_caption.json", "QwenVLChat"),
}
"""The model, the workflow, and the node whose number of steps is changed."""

HOLD = """
import sys, torch
from advanced_models.memory.plan_values import CARD_SHARE
left = int(float(sys.argv[1]) * CARD_SHARE * 2**30)
torch.cuda.init()
free, _ = torch.cuda.mem_get_info()
held = torch.empty(max(0, free - left), dtype=torch.uint8, device="cuda")
print("ready", flush=True)
sys.stdin.read()
"""

RUN = """
import json, logging, sys, tempfile
from pathlib import Path
import torch
from advanced_models import host
from advanced_models.demo.pictures import draw_example
from advanced_models.host.measure import main_memory
from advanced_models.host.standalone import StandaloneHost
from advanced_models.memory.plan_values import Machine
from advanced_models.memory.preflight import preflight_of_prompt
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.document import read_workflow
from advanced_models.workflows.execute import Executor
from advanced_models.workflows.native import NATIVE_NODES
from advanced_models.workflows.overrides import apply_override
from advanced_models.workflows.validate import validate

logging.basicConfig(level=logging.WARNING)
logging.getLogger("advanced_models").setLevel(logging.INFO)
workflow, folder, overrides = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
here = StandaloneHost.below(folder)
here.user_folder = Path(tempfile.mkdtemp())  # prompts that an earlier run encoded are kept there
here.input_folder.mkdir(exist_ok=True)
draw_example(here.input_folder / "example.png")
host.use(here)
definitions = Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})
prompt = read_workflow(workflow).prompt(definitions)
for override in overrides:
    apply_override(prompt, definitions, override)
valid = validate(prompt, definitions)
here.prompt = valid.prompt.to_api()
torch.cuda.init()
available = here.device_memory()
report = preflight_of_prompt(here.prompt).judge(Machine(available, main_memory()))
print(json.dumps({"verdict": report.verdict, "available": available, "plan": report.plan and report.plan.to_json()}), flush=True)

def done(node):
    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    told = {"node": node.class_type, "seconds": round(node.seconds, 2), "allocated": peaks[0], "reserved": peaks[1]}
    print(json.dumps(told | {"available": here.device_memory()}), flush=True)

Executor(definitions).run(valid, after_each=done)
"""
STAGES = {"PromptEncode": "encode", "Chat": "encode", "Denoise": "denoise", "Decode": "decode", "VideoCombine": "decode"}
"""By a part of the node's name; clips are decoded while VideoCombine takes them."""


@contextmanager
def card_of(gib: float) -> Iterator[None]:
    """Another process holds what this card has beyond `gib`."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(gib)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        try:
            if holder.stdout.readline() != "ready\n":
                raise SystemExit("The card could not be made smaller: is something else running on it?")
            yield
        finally:
            holder.stdin.close()


def run(example: str, folder: Path, overrides: list[str], seconds: float) -> dict[str, Any]:
    """Execute one workflow and return what its process told: the forecast, a line per node, and its error where it failed."""
    workflow = ROOT / "example_workflows" / EXAMPLES[example][1]
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(workflow), str(folder), *overrides], capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as late:
        told = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        return {**_told(told), "loaded": [], "error": f"stopped after {seconds:.0f} s"}
    result = _told(done.stdout) | {"loaded": [line.split(":", 2)[2] for line in done.stderr.splitlines() if ":loaded the " in line]}
    if done.returncode:
        result["error"] = done.stderr.strip()[-1500:]
    return result


def _told(output: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    forecast: dict[str, Any] = lines[0] if lines else {"verdict": "none", "available": 0, "plan": None}
    return {**forecast, "nodes": lines[1:]}


def show(example: str, card: float, result: dict[str, Any]) -> list[float]:
    """Print one run; returns measured over predicted bytes, of the stages that were predicted."""
    plan = result["plan"]
    print(f"\n{example} on {card:g} GB ({result['available'] / GIB:.2f} GiB to be had): {result['verdict']}")
    if plan:
        print("  " + "; ".join(f"{name}: {choice['text']}" for name, choice in plan["choices"].items()))
    for line in result["loaded"]:
        print(f"  {line}")
    ratios = []
    for node in result["nodes"]:
        stage = next((stage for word, stage in STAGES.items() if word in node["node"]), None)
        if stage is None:
            continue
        needs = [need["weights"] + need["activations"] for need in plan["stages"] if need["stage"] == stage] if plan else []
        taken = f"allocated {node['allocated'] / GIB:6.2f}, reserved {node['reserved'] / GIB:6.2f} of {node['available'] / GIB:6.2f} GiB"
        line = f"  {node['node']:22} {node['seconds']:7.1f} s   {taken}"
        if needs:
            line += f"   predicted {max(needs) / GIB:6.2f}"
            ratios.append(node["allocated"] / max(needs))
        print(line)
    if "error" in result:
        print(f"  FAILED: {result['error']}")
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--examples", nargs="+", choices=EXAMPLES, default=["flux"])
    parser.add_argument("--cards", nargs="+", type=float, default=[8, 12, 16, 24])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=600, help="after which a run is stopped")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="as of `advanced-models run`, in every example"
    )
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA card here, and this measures one.")
    from full_size import write_full_size

    models = args.folder / "models" / "diffusers"
    models.mkdir(parents=True, exist_ok=True)
    ratios: list[float] = []
    for example in args.examples:
        model, _, node = EXAMPLES[example]
        overrides = [f"{node}.steps={args.steps}"] if node.endswith("Denoise") else []
        size = write_full_size(model, models / model)
        print(f"{model}: {size / 1e9:.1f} GB of weights", flush=True)
        torch.cuda.empty_cache()
        for card in args.cards:
            with card_of(card):
                ratios += show(example, card, run(example, args.folder, overrides + args.set, args.seconds))
            sys.stdout.flush()
    if ratios:
        off = [abs(ratio - 1) for ratio in ratios]
        print(f"\nmeasured against predicted, {len(off)} stages: median {statistics.median(off):.1%} off, most {max(off):.1%}")


if __name__ == "__main__":
    main()
