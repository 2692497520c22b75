"""LoRA files in the layouts that people have, made by inverting diffusers' own: each puts the same matrices onto the model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.lora import Lora, with_lora
from devices import on_cpu
from lora_support import RANK, Tensors, loaded, loras_folder, make_lora, save
from qwen_models import qwen_folder, qwen_host
from safetensors.torch import save_file

__all__ = ["qwen_folder", "qwen_host"]

FLUX_LAYERS = (
    *("attn.to_q", "attn.to_k", "attn.to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out"),
    *("ff.net.0.proj", "ff_context.net.2", "norm1.linear", "norm1_context.linear", "x_embedder"),
)
WAN_LAYERS = (
    *(f"attn{number}.{part}" for number in (1, 2) for part in ("to_q", "to_k", "to_v", "to_out.0")),
    *("ffn.net.0.proj", "ffn.net.2"),
)
QWEN_LAYERS = ("to_q", "to_k", "to_v", "add_q_proj", "to_add_out", "to_out.0", "img_mlp.net.0.proj", "txt_mlp.net.2", "img_mod.1")

# BFL's names by diffusers' (diffusers, scripts/convert_flux_to_diffusers.py).
FLUX_NAMES = {
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
}
# Wan's own names by diffusers' (diffusers, scripts/convert_wan_to_diffusers.py).
WAN_NAMES = [
    (r"attn1\.to_out\.0", "self_attn.o"),
    (r"attn2\.to_out\.0", "cross_attn.o"),
    (r"attn1\.to_([qkv])", r"self_attn.\1"),
    (r"attn2\.to_([qkv])", r"cross_attn.\1"),
    (r"ffn\.net\.0\.proj", "ffn.0"),
    (r"ffn\.net\.2", "ffn.2"),
]


def pairs(tensors: Tensors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Layer -> its two matrices."""
    layers = [name.removeprefix("transformer.").removesuffix(".lora_A.weight") for name in tensors if name.endswith("lora_A.weight")]
    return {layer: (tensors[f"transformer.{layer}.lora_A.weight"], tensors[f"transformer.{layer}.lora_B.weight"]) for layer in layers}


def written(
    layers: dict[str, tuple[torch.Tensor, torch.Tensor]], name: Callable[[str], str], down: str, up: str, alpha: bool = False
) -> Tensors:
    """A file of these layers. With alpha, of half the rank: the second matrix is twice as large to make up for it."""
    tensors: Tensors = {}
    for layer, (first, second) in layers.items():
        tensors[f"{name(layer)}.{down}.weight"] = first.clone()
        tensors[f"{name(layer)}.{up}.weight"] = second * 2 if alpha else second.clone()
        if alpha:
            tensors[f"{name(layer)}.alpha"] = torch.tensor(RANK / 2)
    return tensors


def fused_flux(tensors: Tensors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Layers under BFL's names, q, k and v in one."""
    layers = pairs(tensors)
    result: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for layer, (first, second) in layers.items():
        if layer == "x_embedder":
            result["img_in"] = (first, second)
            continue
        _, block, part = re.fullmatch(r"(transformer_blocks\.)(\d+)\.(.+)", layer).groups()  # type: ignore[union-attr]
        if part in FLUX_NAMES:
            result[f"double_blocks.{block}.{FLUX_NAMES[part]}"] = (first, second)
        for joined, names in (("img", ("to_q", "to_k", "to_v")), ("txt", ("add_q_proj", "add_k_proj", "add_v_proj"))):
            if part == f"attn.{names[0]}":
                ups = [layers[f"transformer_blocks.{block}.attn.{name}"][1] for name in names]
                result[f"double_blocks.{block}.{joined}_attn.qkv"] = (first, torch.cat(ups))
    return result


def own_wan(layer: str) -> str:
    for pattern, name in WAN_NAMES:
        layer = re.sub(pattern, name, layer)
    return layer


def kohya(layer: str) -> str:
    return "lora_unet_" + layer.replace(".", "_")


def comfy(layer: str) -> str:
    return f"diffusion_model.{layer}"


def check_equal(transformer: Component, folder: Path, own: Tensors, other: Tensors, strength: float = 1.0) -> None:
    """The file in the other layout puts onto the model what the one in diffusers' own puts there."""
    save(folder, "own.safetensors", own)
    save(folder, "other.safetensors", other)
    expected, result = (loaded(with_lora(transformer, Lora(f"{name}.safetensors", strength))) for name in ("own", "other"))
    assert len(expected) == len(pairs(own))
    assert expected.keys() == result.keys()
    assert all(torch.equal(result[name], expected[name]) for name in expected)
    assert all(tensor.abs().sum() > 0 for tensor in result.values())


@pytest.mark.parametrize("layout", ["kohya", "kohya with alpha", "comfy", "comfy with alpha", "bare", "peft"])
def test_flux(use_host: StandaloneHost, flux_dev: Path, tmp_path: Path, layout: str) -> None:
    own = make_lora(flux_dev / "transformer", FLUX_LAYERS)
    # Single blocks keep q, k and v in one matrix with the MLP, whose width diffusers' converter takes for the real model's.
    own = {name: tensor for name, tensor in own.items() if "single_transformer_blocks" not in name}
    alpha = layout.endswith("alpha")
    others = {
        "kohya": lambda: written(fused_flux(own), kohya, "lora_down", "lora_up", alpha),
        "comfy": lambda: written(fused_flux(own), comfy, "lora_down" if alpha else "lora_A", "lora_up" if alpha else "lora_B", alpha),
        "bare": lambda: {name.removeprefix("transformer."): tensor for name, tensor in own.items()},
        "peft": lambda: {name.replace("transformer.", "base_model.model.", 1): tensor for name, tensor in own.items()},
    }
    other = others[layout.split()[0]]()
    check_equal(select_component("FLUX.1-dev", "transformer"), loras_folder(use_host, tmp_path), own, other)


@pytest.mark.parametrize("layout", ["kohya with alpha", "comfy", "comfy down and up", "comfy with alpha", "bare", "peft"])
def test_wan(wan_host: StandaloneHost, wan_models_folder: Path, tmp_path: Path, layout: str) -> None:
    model = "Wan2.1-T2V-1.3B"
    own = make_lora(wan_models_folder / "diffusers" / model / "transformer", WAN_LAYERS)
    layers = {own_wan(layer): matrices for layer, matrices in pairs(own).items()}
    others = {
        "kohya with alpha": lambda: written(layers, kohya, "lora_down", "lora_up", True),
        "comfy": lambda: written(layers, comfy, "lora_A", "lora_B"),
        "comfy down and up": lambda: written(layers, comfy, "lora_down", "lora_up"),
        "comfy with alpha": lambda: written(layers, comfy, "lora_down", "lora_up", True),
        "bare": lambda: {name.removeprefix("transformer."): tensor for name, tensor in own.items()},
        "peft": lambda: {name.replace("transformer.", "base_model.model.", 1): tensor for name, tensor in own.items()},
    }
    check_equal(select_component(model, "transformer"), loras_folder(wan_host, tmp_path), own, others[layout]())


@pytest.mark.parametrize("layout", ["kohya with alpha", "comfy", "comfy with alpha", "lightning", "bare", "peft"])
def test_qwen_image(qwen_host: StandaloneHost, qwen_folder: Path, tmp_path: Path, layout: str) -> None:
    own = make_lora(qwen_folder / "diffusers" / "Qwen-Image" / "transformer", QWEN_LAYERS)
    layers = pairs(own)
    others = {
        "kohya with alpha": lambda: written(layers, kohya, "lora_down", "lora_up", True),
        "comfy": lambda: written(layers, comfy, "lora_A", "lora_B"),
        "comfy with alpha": lambda: written(layers, comfy, "lora_down", "lora_up", True),
        "lightning": lambda: written(layers, str, "lora_down", "lora_up", True),
        "bare": lambda: {name.removeprefix("transformer."): tensor for name, tensor in own.items()},
        "peft": lambda: {name.replace("transformer.", "base_model.model.", 1): tensor for name, tensor in own.items()},
    }
    check_equal(select_component("Qwen-Image", "transformer"), loras_folder(qwen_host, tmp_path), own, others[layout]())


def test_settings_in_the_file(use_host: StandaloneHost, flux_dev: Path, tmp_path: Path) -> None:
    """diffusers keeps peft's settings, alpha among them, in the file's metadata; a bare transformer's have no prefix there either."""
    from peft import LoraConfig

    own = make_lora(flux_dev / "transformer", ("to_out.0",))
    folder = loras_folder(use_host, tmp_path)
    save(folder, "own.safetensors", own)
    transformer = select_component("FLUX.1-dev", "transformer")
    expected = loaded(with_lora(transformer, Lora("own.safetensors", 1.0)))
    targets = sorted(pairs(own))
    for prefix in ("transformer.", ""):
        config = LoraConfig(r=RANK, lora_alpha=3 * RANK, target_modules=targets).to_dict()
        settings = {f"{prefix}{key}": sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        tensors = {prefix + name.removeprefix("transformer."): tensor for name, tensor in own.items()}
        metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(settings)}
        save_file(tensors, folder / f"scaled{prefix}.safetensors", metadata=metadata)
        result = loaded(with_lora(transformer, Lora(f"scaled{prefix}.safetensors", 1.0)))
        assert all(torch.equal(result[name], 3 * expected[name]) for name in expected)


def test_biases(wan_host: StandaloneHost, wan_models_folder: Path, tmp_path: Path) -> None:
    """LoRAs taken from the difference of two models change biases too, not always all of them."""
    from advanced_models.loaders.store import STORE

    model = "Wan2.1-T2V-1.3B"
    layers = pairs(make_lora(wan_models_folder / "diffusers" / model / "transformer", ("attn1.to_q", "attn1.to_k")))
    tensors = written({own_wan(layer): matrices for layer, matrices in layers.items()}, comfy, "lora_down", "lora_up")
    biases: dict[str, Any] = {layer: torch.full((matrices[1].shape[0],), 0.25) for layer, matrices in layers.items() if "to_q" in layer}
    tensors |= {f"{comfy(own_wan(layer))}.diff_b": bias for layer, bias in biases.items()}
    name = save(loras_folder(wan_host, tmp_path), "biases.safetensors", tensors)
    with STORE.use(with_lora(select_component(model, "transformer"), Lora(name, 1.0))) as (module,):
        for layer in layers:
            bias = on_cpu(module.get_submodule(layer).lora_B["lora_0"].bias)
            assert torch.equal(bias.float(), biases.get(layer, torch.zeros_like(bias)))
