"""Peak extra memory while a bf16 component loads, beside its size, and beside reading the same file into memory.

Writes a FLUX transformer of one double and one single block at the real width (over 1 GB) into a temporary folder. Each way of loading
runs in a process of its own; the figure is how far its resident memory rose above where it stood before, at most.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = 0.10

WRITE = """
import sys, torch
from diffusers import FluxTransformer2DModel
torch.set_default_dtype(torch.bfloat16)
transformer = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
transformer.save_pretrained(sys.argv[1] + "/models/diffusers/FLUX.1-dev/transformer")
"""

MEASURE = """
import json, pathlib, sys, threading, time
import torch, diffusers
from diffusers import FluxTransformer2DModel
from advanced_models import host
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import select_component
from advanced_models.loaders.store import STORE
import psutil
host.use(StandaloneHost.below(pathlib.Path(sys.argv[1])))
process, peak, stop = psutil.Process(), 0, threading.Event()
def watch():
    global peak
    while not stop.is_set():
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.002)
base = process.memory_info().rss
watcher = threading.Thread(target=watch, daemon=True); watcher.start()
started = time.perf_counter()
if sys.argv[2] == "store":
    with STORE.use(select_component("FLUX.1-dev", "transformer")):
        pass
else:
    from safetensors.torch import load
    folder = pathlib.Path(sys.argv[1]) / "models/diffusers/FLUX.1-dev/transformer"
    weights = [load(path.read_bytes()) for path in folder.glob("*.safetensors")]
seconds = time.perf_counter() - started
stop.set(); watcher.join()
print(json.dumps({"peak": peak - base, "seconds": seconds}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        subprocess.run([sys.executable, "-c", WRITE, base], check=True)
        size = sum(path.stat().st_size for path in Path(base).rglob("*.safetensors"))
        print(f"component: {size / 1e9:.2f} GB in bf16")
        for way, label in (("store", "the store"), ("read", "reading the file")):
            done = subprocess.run([sys.executable, "-c", MEASURE, base, way], check=True, capture_output=True, text=True)
            figures = json.loads(done.stdout.splitlines()[-1])
            peak, seconds = figures["peak"], figures["seconds"]
            print(f"{label:18} peak extra memory {peak / 1e9:6.3f} GB = {peak / size:6.1%} of the component, {seconds:5.2f} s")
        print(f"target for the store: at most {TARGET:.0%}")


if __name__ == "__main__":
    main()
