"""Memory that casting a sharded float32 component to bf16 takes beyond the result, beside reading it whole first.

Writes a FLUX transformer of one double and one single block and a T5 of two layers, both at the real width (about 2 GB each), in shards
of 300 MB into a temporary folder. Each way runs in a process of its own. The figure is how far the process's own memory rose above that
of the finished module, at most: pages of mapped files are left out, since the system takes them back at need.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SHARD_MB = 300

WRITE = """
import sys
from diffusers import FluxTransformer2DModel
from transformers import T5Config, T5EncoderModel
base, shard = sys.argv[1] + "/models/diffusers/FLUX.1-dev/", sys.argv[2] + "MB"
transformer = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
transformer.save_pretrained(base + "transformer", max_shard_size=shard)
t5 = T5Config(vocab_size=32128, d_model=4096, d_ff=10240, d_kv=64, num_heads=64, num_layers=2, feed_forward_proj="gated-gelu")
T5EncoderModel(t5).save_pretrained(base + "text_encoder_2", max_shard_size=shard)
"""

MEASURE = """
import json, pathlib, sys, threading, time
import torch, diffusers, transformers, psutil
from diffusers import FluxTransformer2DModel
from transformers import T5EncoderModel
from advanced_models import host
from advanced_models.host.standalone import StandaloneHost
from advanced_models.host.tensors import byte_count
from advanced_models.loaders.component import select_component
from advanced_models.loaders.store import STORE
base, role, way = sys.argv[1:]
host.use(StandaloneHost.below(pathlib.Path(base)))
process, peak, stop = psutil.Process(), 0, threading.Event()
def own():
    used = process.memory_info()
    return used.rss - used.shared
def watch():
    global peak
    while not stop.is_set():
        peak = max(peak, own())
        time.sleep(0.002)
before = own()
watcher = threading.Thread(target=watch, daemon=True); watcher.start()
if way == "store":
    with STORE.use(select_component("FLUX.1-dev", role)) as (module,):
        pass
else:
    from safetensors.torch import load
    folder = pathlib.Path(base) / "models/diffusers/FLUX.1-dev" / role
    weights = {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load(path.read_bytes()).items()}
    cls = FluxTransformer2DModel if role == "transformer" else T5EncoderModel
    options = {} if role == "transformer" else {"config": cls.config_class.from_pretrained(folder)}
    with torch.device("meta"):
        module = cls.from_config(cls.load_config(folder)) if role == "transformer" else cls(options["config"])
    module.load_state_dict(weights, strict=False, assign=True)
    del weights
    module = module.to(torch.bfloat16)
stop.set(); watcher.join()
print(json.dumps({"extra": peak - before - byte_count(module), "result": byte_count(module)}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        subprocess.run([sys.executable, "-c", WRITE, base, str(SHARD_MB)], check=True)
        for role in ("transformer", "text_encoder_2"):
            files = list(Path(base).glob(f"models/diffusers/*/{role}/*.safetensors"))
            shard = max(path.stat().st_size for path in files)
            extra = {}
            for way, label in (("store", "the store"), ("naive", "reading it whole, then casting")):
                done = subprocess.run([sys.executable, "-c", MEASURE, base, role, way], check=True, capture_output=True, text=True)
                figures = json.loads(done.stdout.splitlines()[-1])
                extra[way] = figures["extra"]
                print(
                    f"{role:15} {label:31} {figures['extra'] / 1e9:6.3f} GB beyond the {figures['result'] / 1e9:.2f} GB of the result "
                    f"= {figures['extra'] / shard:5.2f} of the largest of {len(files)} shards"
                )
            print(
                f"{role:15} the store takes {extra['store'] / extra['naive']:.1%} of what reading it whole takes; target: at most one shard"
            )


if __name__ == "__main__":
    main()
