"""LoRAs beside quantised weights: what the same LoRA gives on a plain transformer that holds the dequantised weights."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.demo.build import build
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.lora import Lora, with_lora
from advanced_models.loaders.store import Store
from devices import on_device
from lora_support import loras_folder, make_lora, save
from safetensors.torch import load_file
from test_lora_identity import FLUX_LAYERS, QWEN_LAYERS, WAN_LAYERS
from test_precision import FLUX, QWEN, WAN, result

LAYERS = {FLUX: FLUX_LAYERS, WAN: WAN_LAYERS, QWEN: QWEN_LAYERS}
FARTHEST = {"fp8": 0.0, "nf4": 0.02, "int8": 0.05}
"""Relative distance. fp8 dequantises exactly; nf4 multiplies in another order; int8 also rounds what comes in."""
FILE = "style.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model in LAYERS:
        build(model, folder / "diffusers" / model)
    return folder


@pytest.fixture
def files(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    host = StandaloneHost.below(tmp_path, models=(models,))
    monkeypatch.setattr("advanced_models.host._standalone", host)
    return loras_folder(host, tmp_path)


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.clear()


def dequantised(layer: Any, dtype: torch.dtype) -> torch.Tensor:
    """The weights [out, in] for which a quantised layer stands."""
    import bitsandbytes

    weight = layer.weight
    if isinstance(layer, bitsandbytes.nn.Linear4bit):
        return bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state).to(dtype)
    if isinstance(layer, bitsandbytes.nn.Linear8bitLt):
        codes, scales = (weight.CB, weight.SCB) if weight.SCB is not None else (layer.state.CB, layer.state.SCB)
        return (codes.float() * scales[:, None].float() / 127).to(dtype)  # LLM.int8: absmax of the row over 127
    return weight.to(dtype)


def on_the_dequantised(store: Store, component: Component, folder: Path, lora: Path) -> torch.Tensor:
    """The result of diffusers' own class with plain weights, and the LoRA as diffusers puts it on."""
    cls = getattr(importlib.import_module("diffusers"), component.entry.class_name)
    plain = cls.from_pretrained(folder, torch_dtype=torch.bfloat16).eval()
    with store.use(component) as (module,), torch.no_grad():
        layers = dict(plain.named_modules())
        for name, layer in module.named_modules():
            if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Embedding)):
                layers[name].weight.copy_(dequantised(layer, layers[name].weight.dtype))
                if getattr(layer, "bias", None) is not None:
                    layers[name].bias.copy_(layer.bias)
    plain.load_lora_adapter(load_file(lora), adapter_name="style")
    plain.set_adapters(["style"], [0.7])
    reference = Store()
    reference.use = lambda _: _Held(plain)  # type: ignore[method-assign, assignment]
    on_device(plain)
    return result(reference, component)


class _Held:
    def __init__(self, module: Any) -> None:
        self.module = module

    def __enter__(self) -> tuple[Any]:
        return (self.module,)

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("model", LAYERS)
@pytest.mark.parametrize("precision", FARTHEST)
def test_a_lora_acts_as_on_the_dequantised_weights(store: Store, models: Path, files: Path, precision: Any, model: str) -> None:
    folder = models / "diffusers" / model / "transformer"
    save(files, FILE, make_lora(folder, LAYERS[model]))
    component = replace(select_component(model, "transformer"), precision=precision)
    found = result(store, with_lora(component, Lora(FILE, 0.7)))
    expected = on_the_dequantised(store, component, folder, files / FILE)
    assert (found - expected).norm() <= FARTHEST[precision] * expected.norm()
    # It does act, by far more than that.
    assert (result(store, component) - expected).norm() > 0.2 * expected.norm()
