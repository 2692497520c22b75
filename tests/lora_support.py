"""Small LoRA files in diffusers' own layout, and what tests of LoRAs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from safetensors.torch import load_file, save_file

RANK = 4
Tensors = dict[str, torch.Tensor]


def loras_folder(host: StandaloneHost, base: Path) -> Path:
    """An empty `loras` model folder that the host finds beside its models.

    The user's folder is the same for all of these tests, so that the registry and encoded prompts are read once.
    """
    folder = base / "models" / "loras"
    folder.mkdir(parents=True)
    host.models = (*host.models, folder.parent)
    host.user_folder = base.parent / "user_with_loras"
    host.user_folder.mkdir(exist_ok=True)
    return folder


def make_lora(transformer: Path, layers: tuple[str, ...], *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensors:
    """A LoRA for every linear layer of a transformer's folder whose name ends with one of `layers`, under diffusers' names.

    `to_q`, `to_k` and `to_v` of one attention share their first matrix, as in a LoRA of a fused layer.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    weights = {name: tensor for file in transformer.glob("*.safetensors") for name, tensor in load_file(file).items()}
    shared: dict[str, torch.Tensor] = {}
    for name in sorted(weights):
        path = name.removesuffix(".weight")
        if path == name or not path.endswith(layers):
            continue
        outputs, inputs = weights[name].shape
        down = torch.randn(RANK, inputs, generator=generator) * 0.3
        group = path.replace("to_q", "qkv").replace("to_k", "qkv").replace("to_v", "qkv")
        group = group.replace("add_q_proj", "add").replace("add_k_proj", "add").replace("add_v_proj", "add")
        tensors[f"transformer.{path}.lora_A.weight"] = shared.setdefault(group, down).to(dtype).clone()
        tensors[f"transformer.{path}.lora_B.weight"] = (torch.randn(outputs, RANK, generator=generator) * 0.3).to(dtype)
    assert tensors
    return tensors


def save(folder: Path, name: str, tensors: Tensors) -> str:
    """Write a file of that name, and give the name."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, folder / name, metadata={"format": "pt"})
    return name


def with_loras(transformer: Any, *loras: tuple[str, float]) -> Any:
    """The handle after a row of LoRALoaders."""
    for name, strength in loras:
        (transformer,) = NODE_CLASS_MAPPINGS["LoRALoader"]().add(transformer, name, strength)
    return transformer


def loaded(component: Any) -> Tensors:
    """Every LoRA matrix on the loaded module, multiplied by what scales it there."""
    with STORE.use(component) as (module,):
        found: Tensors = {}
        for path, layer in module.named_modules():
            for adapter, down in getattr(layer, "lora_A", {}).items():
                up = layer.lora_B[adapter]
                found[f"{path} {adapter}"] = (up.weight.double() @ down.weight.double()) * layer.scaling[adapter]
        return found
