"""Predicted memory against what a CUDA card takes: one call of each class at full size, with random weights.

    python benchmarks/memory_on_card.py [--only WORD ...]

Each line: the most bytes that torch allocated above the weights in a first call, the same as estimated, and their ratio; then the weights,
with the 32 MiB or less that cuBLAS takes once.
A model is built on the card from its bundled config; nothing is read from files. Models that do not fit the card are left out.
"""

from __future__ import annotations

import argparse
import gc
import statistics
from typing import Any

import torch
from advanced_models.host.placement import Moved
from advanced_models.loaders.quantise import convert_linear
from advanced_models.loaders.registry import load_registry
from advanced_models.memory.estimate import estimate
from advanced_models.memory.estimate_values import Stage, Workload, held_as
from advanced_models.memory.simulate_inputs import forward
from advanced_models.memory.simulate_models import ModelSpec, set_tiles
from advanced_models.memory.simulate_schemes import apply_scheme

GIB = 2**30
CUDA = torch.device("cuda")
SQUARE, WAN_480, WAN_720, WAN_5B = Workload(1024, 1024), Workload(832, 480, 81), Workload(1280, 720, 81), Workload(1280, 704, 121)
QWEN = Workload(1328, 1328)
CASES: list[tuple[str, Stage, Workload, str, int | None]] = [
    ("clip-l-encoder", "encode", Workload(text_tokens=77), "bf16", None),
    ("t5-xxl-encoder", "encode", Workload(), "bf16", None),
    ("t5-xxl-encoder", "encode", Workload(), "nf4", None),
    ("umt5-xxl-encoder", "encode", Workload(), "bf16", None),
    ("umt5-xxl-encoder", "encode", Workload(), "fp8", None),
    ("qwen2.5-vl-7b", "encode", Workload(), "bf16", None),
    ("flux1-vae", "decode", SQUARE, "bf16", None),
    ("flux1-vae", "decode", SQUARE, "bf16", 512),
    ("flux1-vae", "decode", SQUARE, "fp32", None),
    ("flux1-vae", "encode", SQUARE, "bf16", None),
    ("wan2.1-vae", "decode", WAN_480, "fp32", None),
    ("wan2.1-vae", "decode", WAN_480, "bf16", None),
    ("wan2.1-vae", "decode", WAN_480, "fp32", 0),
    ("wan2.1-vae", "encode", WAN_480, "fp32", None),
    ("wan2.2-vae", "decode", WAN_5B, "fp32", None),
    ("qwen-image-vae", "decode", QWEN, "bf16", None),
    ("flux1-dev-transformer", "denoise", SQUARE, "bf16", None),
    ("flux1-dev-transformer", "denoise", SQUARE, "fp8", None),
    ("flux1-dev-transformer", "denoise", SQUARE, "int8", None),
    ("flux1-dev-transformer", "denoise", SQUARE, "nf4", None),
    ("flux1-dev-transformer", "denoise", Workload(2048, 2048), "bf16", None),
    ("wan2.1-t2v-1.3b-transformer", "denoise", WAN_480, "bf16", None),
    ("wan2.1-t2v-1.3b-transformer", "denoise", WAN_480, "fp32", None),
    ("wan2.2-ti2v-5b-transformer", "denoise", WAN_5B, "bf16", None),
    ("wan2.1-t2v-14b-transformer", "denoise", WAN_480, "bf16", None),
    ("wan2.1-t2v-14b-transformer", "denoise", WAN_480, "fp8", None),
    ("wan2.1-t2v-14b-transformer", "denoise", WAN_720, "bf16", None),
    ("qwen-image-transformer", "denoise", QWEN, "bf16", None),
]
"""Component, stage, workload, precision, tile."""
DTYPES = {"fp32": torch.float32}
"""Of the weights when they are made; all other precisions begin as bfloat16."""


def on_card(component: str, precision: Any) -> torch.nn.Module:
    """The module on the card with random weights, in its precision."""
    dtype = DTYPES.get(precision, torch.bfloat16)
    torch.set_default_dtype(dtype)
    try:
        module: torch.nn.Module = ModelSpec.of_component(component, load_registry().component(component).class_name).build("cuda")
    finally:
        torch.set_default_dtype(torch.float32)
    quantised = precision in ("int8", "nf4")
    # The real layers of bitsandbytes instead of those that stand in for them on the meta device.
    apply_scheme(module, "half" if quantised else held_as(precision))
    if quantised:
        # bitsandbytes quantises what comes to the card, and nothing that is there.
        module.cpu()
        convert_linear(module, precision, dtype, CUDA)
        Moved(module, CUDA)
    return module


def measure(component: str, stage: Stage, workload: Workload, precision: str, tile: int | None) -> tuple[int, int]:
    """Bytes of the weights, and the most above them in a first call."""
    module = on_card(component, precision)
    if tile is not None:
        set_tiles(module, tile)
    gc.collect()
    weights = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    class_name = load_registry().component(component).class_name
    with torch.inference_mode():
        forward(module, class_name, stage, workload, DTYPES.get(precision, torch.bfloat16), device="cuda")()
    torch.cuda.synchronize()
    return weights, torch.cuda.max_memory_allocated() - weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="cases whose component has one of these in its name")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA card here, and this measures one.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    print(f"{'GiB':60} measured  estimated  ratio     weights  estimated")
    off = []
    for component, stage, workload, precision, tile in CASES:
        if not any(word in component for word in args.only):
            continue
        result: Any = estimate(component, stage, workload, precision=precision, tile=tile)  # type: ignore[arg-type]
        name = f"{component} {stage} {workload.width}x{workload.height}x{workload.frames} {precision}"
        name += "" if tile is None else f" tiles {tile or ''}"
        predicted = result.total("activations", "workspace")
        try:
            weights, peak = measure(component, stage, workload, precision, tile)
        except torch.OutOfMemoryError:
            print(f"{name:60} does not fit this card")
            continue
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        off.append(abs(peak / predicted - 1))
        activations = f"{peak / GIB:8.3f} {predicted / GIB:10.3f} {peak / predicted:6.2f}"
        print(f"{name:60} {activations} {weights / GIB:11.3f} {result.weights / GIB:10.3f}", flush=True)
    if off:
        print(f"activations and workspace of {len(off)} calls: median {statistics.median(off):.1%} off, most {max(off):.1%}")


if __name__ == "__main__":
    main()
