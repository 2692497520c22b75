"""Models of full size with random weights, for benchmarks: what a run needs and how long it takes depend on the shapes alone.

Each gets the folder layout, tokenizers and scheduler of the small model of the same id, and weights of the bundled configs in the dtype
that the real repository stores. They are drawn on the card, so that writing is bound by the disk.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from advanced_models.demo.build import MARKER, build
from advanced_models.demo.weights import DTYPES, write_part
from advanced_models.loaders.registry import load_registry
from advanced_models.memory.simulate_models import ModelSpec

SPREAD = 0.02
"""Standard deviation of the matrices, as the text encoders' configs give it: activations stay finite in half precision."""


def write_full_size(model_id: str, folder: Path) -> int:
    """Write a model into `folder`, unless it is there, and return the bytes of its weights.

    A part that a model beside it (in the same parent folder) has too, by the same component of the registry, is linked, not written again.
    """
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix=".full-size.", dir=folder.parent) as temporary:
            made = build(model_id, Path(temporary) / "model")
            (made / MARKER).unlink()
            for role, entry in load_registry().model(model_id).entries.items():
                if entry.parameters:
                    _write_part(made / role, entry.id, entry.class_name, entry.stored_dtype or "bf16", folder.parent)
            made.rename(folder)
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _write_part(folder: Path, component: str, class_name: str, dtype: str, beside: Path) -> None:
    shutil.rmtree(folder)
    shared = next(beside.glob(f"*/{folder.name}/.{component}"), None)
    if shared is not None:
        shutil.copytree(shared.parent, folder, copy_function=lambda source, target: Path(target).hardlink_to(source))
        return
    module = ModelSpec.of_component(component, class_name).build()
    # Before there is memory for it: in float32, as it was built, it might not fit.
    torch.nn.Module.to(module, getattr(torch, DTYPES[dtype]))
    module.to_empty(device="cuda" if torch.cuda.is_available() else "cpu")
    if hasattr(module, "tie_weights"):
        module.tie_weights()
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1 and not name.endswith("gamma"):
            parameter.normal_(std=SPREAD)
        else:
            parameter.fill_(0 if name.endswith("bias") else 1)
    write_part(module, folder, dtype)
    (folder / f".{component}").touch()
