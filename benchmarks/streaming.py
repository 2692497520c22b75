"""Blocks streamed by `host.streaming` beside diffusers' group offloading and weights that stay: seconds and memory of a denoising step.

    python benchmarks/streaming.py --folder DIR [--steps 3]

Needs a CUDA card with 28 GiB free and main memory for twice the weights; DIR is the one of `on_card.py`, where the transformer of
FLUX.1 [schnell] at full size lies or is written. Each way is a process of its own: one step to warm up (diffusers finds the order of the
layers in it), then the median of the others, at 1024x1024 in bf16.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

MODEL = "FLUX.1-schnell"
WAYS = {
    "resident": "weights stay on the card",
    "ours": "streamed, two blocks at most",
    "leaf": "diffusers, leaf level with a stream for each block",
    "block": "diffusers, block level",
}

MEASURE = """
import json, statistics, sys, time
from pathlib import Path
import psutil, torch
from diffusers import FluxTransformer2DModel
from diffusers.hooks import apply_group_offloading
from advanced_models.host.placement import Moved
from advanced_models.loaders.placement import repeated_blocks, stream_blocks
from advanced_models.memory.estimate_values import Workload
from advanced_models.memory.simulate_inputs import forward

folder, way, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
cuda, cpu = torch.device("cuda"), torch.device("cpu")
module = FluxTransformer2DModel.from_pretrained(folder, torch_dtype=torch.bfloat16).eval().requires_grad_(False)
torch.cuda.init()
torch.cuda.mem_get_info()
before, started = psutil.virtual_memory().available, time.perf_counter()
if way == "ours":
    stream_blocks(module, 0, cuda)
elif way == "leaf":
    for block in repeated_blocks(module):
        apply_group_offloading(block, onload_device=cuda, offload_device=cpu, offload_type="leaf_level", use_stream=True)
elif way == "block":
    apply_group_offloading(
        module, onload_device=cuda, offload_device=cpu, offload_type="block_level", num_blocks_per_group=1, use_stream=True
    )
if way in ("ours", "resident"):
    Moved(module, cuda)
elif way == "leaf":
    for name, child in module.named_children():
        if not isinstance(child, torch.nn.ModuleList):
            child.to(cuda)
prepared, taken = time.perf_counter() - started, before - psutil.virtual_memory().available
call = forward(module, "FluxTransformer2DModel", "denoise", Workload(1024, 1024, text_tokens=256), torch.bfloat16, device="cuda")
seconds = []
with torch.inference_mode():
    for step in range(steps + 1):
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
figures = {"prepare": prepared, "main": taken, "first": seconds[0], "step": statistics.median(seconds[1:])}
figures |= {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
print(json.dumps(figures))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA card here, and this measures one.")
    from full_size import write_full_size

    folder = args.folder / "models" / "diffusers" / MODEL
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_full_size(MODEL, folder)
    torch.cuda.empty_cache()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'':52} prepare  first step  step    allocated  reserved   main memory")
    steps: dict[str, float] = {}
    for way, words in WAYS.items():
        command = [sys.executable, "-c", MEASURE, str(folder / "transformer"), way, str(args.steps)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{words:52} failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        steps[way] = found["step"]
        memory = f"{found['allocated'] / 2**30:6.2f} GiB {found['reserved'] / 2**30:6.2f} GiB {found['main'] / 2**30:8.1f} GiB"
        print(f"{words:52} {found['prepare']:5.1f} s {found['first']:9.2f} s {found['step']:6.3f} s {memory}", flush=True)
    for other in ("leaf", "block", "resident"):
        if other in steps and "ours" in steps:
            print(f"a step takes {steps['ours'] / steps[other]:.2f} times as long as: {WAYS[other]}")


if __name__ == "__main__":
    main()
