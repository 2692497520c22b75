"""How long a component of over 3 GB takes to load, and the memory it takes beside itself, as a folder and as single files.

Writes a FLUX transformer of the real width with fewer blocks into a temporary folder: in bf16 as a folder and as one file, as scaled
fp8, and as GGUF (Q8_0, kept as it is stored, and dequantised). Each way of reading runs in a process of its own, cold (the file's pages
dropped from the system's cache) and warm, and ends when every byte of the weights was looked at; libraries and registry are imported and
read before. The limit is `safetensors.torch.load_file` on the bf16 file, measured alike. All ways take turns, and the best of several
rounds counts, since other programs disturb the clock; seconds of the CPU are disturbed less. Extra memory is the peak of what is not a
mapped file; a cast or dequantised result counts once as the component itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TIME_TARGET, MEMORY_TARGET = 1.3, 0.15
ROUNDS = 3
WAYS = {
    "read": "diffusers/FLUX.1-dev/transformer/diffusion_pytorch_model.safetensors",
    "folder": "diffusers/FLUX.1-dev/transformer/diffusion_pytorch_model.safetensors",
    "file": "diffusion_models/bf16.safetensors",
    "scaled fp8": "diffusion_models/fp8.safetensors",
    "GGUF": "diffusion_models/q8.gguf",
    "GGUF to bf16": "diffusion_models/q8.gguf",
}
CAST = ("scaled fp8", "GGUF to bf16")
"""What stands in memory of its own, not in the mapped file."""

WRITE = """
import pathlib, shutil, sys
import gguf, numpy, torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file
base = pathlib.Path(sys.argv[1])
models = base / "models"
torch.set_default_dtype(torch.bfloat16)
with torch.device("meta"):
    module = FluxTransformer2DModel(num_layers=2, num_single_layers=6, guidance_embeds=True)
module.to_empty(device="cpu")
for parameter in module.parameters():
    parameter.data.fill_(0.01)
folder = models / "diffusers/FLUX.1-dev/transformer"
module.save_pretrained(folder, max_shard_size="100GB")
configs = base / "configs/flux1-dev-transformer"
configs.mkdir(parents=True)
shutil.copy(folder / "config.json", configs)
files = models / "diffusion_models"
files.mkdir()
weights = dict(module.state_dict())
save_file(weights, files / "bf16.safetensors")
layers = [name for name, tensor in weights.items() if tensor.ndim == 2]
writer = gguf.GGUFWriter(files / "q8.gguf", "flux")
for name, tensor in weights.items():
    if name in layers:
        blocks = numpy.ones((tensor.shape[0], tensor.shape[1] // 32, 34), dtype=numpy.uint8)
        blocks[..., :2] = numpy.array([0.01], dtype=numpy.float16).view(numpy.uint8)
        writer.add_tensor(name, blocks.reshape(tensor.shape[0], -1), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor(name, tensor.float().numpy())
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
for name in layers:
    weights[name] = weights[name].to(torch.float8_e4m3fn)
    weights[name.removesuffix("weight") + "scale_weight"] = torch.tensor(0.5, dtype=torch.float32)
save_file(weights, files / "fp8.safetensors")
"""

MEASURE = """
import json, pathlib, sys, threading, time
import torch, diffusers, psutil
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file
from advanced_models import host
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import bundled_configs
from advanced_models.loaders.component import select_component
from advanced_models.loaders.store import STORE
base, way, path = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
bundled_configs.BUNDLED_CONFIGS = base / "configs"
host.use(StandaloneHost.below(base))
process, peak, stop = psutil.Process(), 0, threading.Event()
def own():
    memory = process.memory_info()
    return memory.rss - memory.shared
def watch():
    global peak
    while not stop.is_set():
        peak = max(peak, own())
        time.sleep(0.005)
def look_at(tensors):
    for tensor in tensors:
        tensor.detach().as_subclass(torch.Tensor).reshape(-1).view(torch.uint8).max()
source = "auto" if way in ("read", "folder") else path
component = select_component("FLUX.1-dev", "transformer", precision="auto" if way == "GGUF" else "bf16", source=source)
import accelerate, gguf.quants, diffusers.loaders.single_file_utils, diffusers.quantizers.gguf.utils, advanced_models.loaders.lora_weights
before = own()
watcher = threading.Thread(target=watch, daemon=True); watcher.start()
started, computed = time.perf_counter(), time.process_time()
if way == "read":
    weights = load_file(base / "models" / path)
    look_at(weights.values())
else:
    with STORE.use(component) as (module,):
        look_at(module.state_dict().values())
seconds, cpu = time.perf_counter() - started, time.process_time() - computed
stop.set(); watcher.join()
print(json.dumps({"peak": peak - before, "seconds": seconds, "cpu": cpu}))
"""


def drop_from_cache(path: Path) -> None:
    """Ask the system to forget the file's pages (Linux)."""
    import os

    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(base: str, way: str, path: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", MEASURE, base, way, path], check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        subprocess.run([sys.executable, "-c", WRITE, base], check=True)
        models = Path(base, "models")
        size = (models / WAYS["file"]).stat().st_size
        print(f"component: {size / 1e9:.2f} GB in bf16; ratios to reading the bf16 file, extra memory beside the component")
        best: dict[tuple[str, str], dict[str, float]] = {}
        for _ in range(ROUNDS):
            for way, path in WAYS.items():
                for state in ("cold", "warm"):
                    if state == "cold":
                        drop_from_cache(models / path)
                    figures, known = measure(base, way, path), best.get((way, state), {})
                    best[way, state] = {name: min(value, known.get(name, value)) for name, value in figures.items()}
        for (way, state), figures in best.items():
            limit = best["read", state]
            extra = figures["peak"] - (size if way in CAST else 0)
            print(
                f"{way:12} {state}  {(models / WAYS[way]).stat().st_size / 1e9:5.2f} GB on disk  {figures['seconds']:6.2f} s "
                f"{figures['seconds'] / limit['seconds']:5.2f}x  CPU {figures['cpu']:6.2f} s {figures['cpu'] / limit['cpu']:5.2f}x  "
                f"extra {extra / 1e9:6.3f} GB = {extra / size:6.1%}"
            )
        print(f"target for bf16: at most {TIME_TARGET}x and {MEMORY_TARGET:.0%}")


if __name__ == "__main__":
    main()
