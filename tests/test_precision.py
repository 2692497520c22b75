"""Every precision through the store: near the plain result, equal to the libraries' own, of the bytes that are said beforehand."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models import host
from advanced_models.demo.build import build
from advanced_models.host.placement import Moved
from advanced_models.host.standalone import StandaloneHost
from advanced_models.host.tensors import byte_count
from advanced_models.loaders import precision as precisions
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.precision import PrecisionError
from advanced_models.loaders.store import Store
from advanced_models.memory.cost import in_words
from advanced_models.memory.counting import count_parameters
from advanced_models.memory.weights import LibraryRules, bytes_of
from devices import on_cpu, on_device

FLUX, WAN, QWEN = "FLUX.1-dev", "Wan2.1-T2V-1.3B", "Qwen-Image"

# Relative distance to bf16. Random weights are unkind: T5's attention, which is not scaled, takes small differences for large ones.
FARTHEST = {"fp8": (0.12, 0.35), "int8": (0.04, 0.1), "nf4": (0.33, 0.7)}
"""Of a transformer and of a text encoder."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model in (FLUX, WAN, QWEN):
        build(model, folder / "diffusers" / model)
    return folder


@pytest.fixture
def store(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("advanced_models.host._standalone", StandaloneHost.below(tmp_path, models=(models,)))
    store = Store()
    yield store
    store.clear()


def inputs_of(component: Component) -> dict[str, Any]:
    """What the module of a transformer or a text encoder is called with."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(torch.bfloat16)

    if component.role.startswith("text_encoder"):
        return {"input_ids": torch.arange(5, 17)[None]}
    if component.model == FLUX:
        places = {"img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(8, 3)}
        half = torch.tensor([0.5]).to(torch.bfloat16)
        return {
            "hidden_states": noise(1, 16, 64),
            "encoder_hidden_states": noise(1, 8, 32),
            "pooled_projections": noise(1, 32),
            "timestep": half,
            "guidance": half,
        } | places
    if component.model == WAN:
        return {"hidden_states": noise(1, 16, 2, 8, 8), "timestep": torch.tensor([500]), "encoder_hidden_states": noise(1, 8, 32)}
    return {
        "hidden_states": noise(1, 16, 64),
        "encoder_hidden_states": noise(1, 8, 32),
        "encoder_hidden_states_mask": torch.ones(1, 8, dtype=torch.bool),
        "timestep": torch.tensor([0.5]).to(torch.bfloat16),
        "img_shapes": [(1, 4, 4)],
    } | ({"txt_seq_lens": [8]} if version("diffusers").startswith("0.36.") else {})


def result(store: Store, component: Component) -> torch.Tensor:
    with store.use(component) as (module,), torch.inference_mode():
        output = module(**on_device(inputs_of(component), store.device_of(component)), return_dict=True)
    found = output["logits"] if "logits" in output else output[0]
    assert isinstance(found, torch.Tensor)
    return on_cpu(found).float()


PARTS = [
    (FLUX, "transformer"),
    (FLUX, "text_encoder_2"),
    (WAN, "transformer"),
    (WAN, "text_encoder"),
    (QWEN, "transformer"),
    (QWEN, "text_encoder"),
]


@pytest.mark.parametrize("precision", FARTHEST)
@pytest.mark.parametrize(("model", "role"), PARTS)
def test_results_stay_near_those_of_bf16(store: Store, model: str, role: str, precision: Any) -> None:
    plain = result(store, select_component(model, role))
    other = result(store, select_component(model, role, precision=precision))
    distance = ((other - plain).norm() / plain.norm()).item()
    assert 0 < distance < FARTHEST[precision][role.startswith("text_encoder")]


@pytest.mark.parametrize("precision", FARTHEST)
@pytest.mark.parametrize(("model", "role"), PARTS)
def test_the_bytes_are_those_of_the_rules(store: Store, model: str, role: str, precision: Any) -> None:
    with store.use(select_component(model, role)) as (module,):
        said = bytes_of(count_parameters(module), precision, LibraryRules.installed())
        buffers = sum(tensor.nbytes for tensor in module.buffers())
    with store.use(select_component(model, role, precision=precision)) as (module,):
        assert byte_count(module) == said + buffers


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_a_text_encoder_equals_the_one_that_transformers_quantises(store: Store, models: Path, precision: Any) -> None:
    from transformers import BitsAndBytesConfig, T5EncoderModel

    options: dict[str, Any] = {"load_in_8bit": True} if precision == "int8" else {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    config = BitsAndBytesConfig(**options, bnb_4bit_compute_dtype=torch.bfloat16)
    folder = models / "diffusers" / FLUX / "text_encoder_2"
    expected = T5EncoderModel.from_pretrained(folder, quantization_config=config, dtype=torch.bfloat16, device_map=host.current().device())
    component = select_component(FLUX, "text_encoder_2", precision=precision)
    with torch.inference_mode():
        wanted = expected(**on_device(inputs_of(component))).last_hidden_state.float()
    assert torch.equal(result(store, component), on_cpu(wanted))


def test_equal_handles_share_and_other_precisions_do_not(store: Store) -> None:
    for precision in ("bf16", "nf4", "bf16", "nf4", "fp8"):
        result(store, select_component(FLUX, "transformer", precision=precision))  # type: ignore[arg-type]
    assert store.loads == 3


def test_a_vae_keeps_its_own_precision(store: Store) -> None:
    assert select_component(FLUX, "vae", precision="nf4") == select_component(FLUX, "vae")
    assert select_component(WAN, "vae", precision="fp8").precision == "fp32"


def test_a_missing_backend_is_named_before_anything_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(PrecisionError, match=r"nf4 needs bitsandbytes.*pip install --upgrade bitsandbytes.*or choose fp8"):
        result(store, select_component(FLUX, "transformer", precision="nf4"))
    assert store.loads == 0


def test_apple_has_no_fp8() -> None:
    with pytest.raises(PrecisionError, match="choose bf16"):
        precisions.check_precision("fp8", "mps")


def test_int8_needs_one_of_two(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("bitsandbytes", "torchao"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PrecisionError, match=r"int8 needs bitsandbytes or torchao, of which neither can be used.*install --upgrade"):
        result(store, select_component(FLUX, "transformer", precision="int8"))
    assert store.loads == 0


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
@pytest.mark.parametrize(("model", "role"), [(FLUX, "transformer"), (FLUX, "text_encoder_2")])
def test_torchao_holds_int8_where_bitsandbytes_cannot(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, model: str, role: str
) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    component, plain = (select_component(model, role, precision=precision) for precision in ("int8", "bf16"))
    found, expected = result(store, component), result(store, plain)
    assert "int8 is torchao's" in caplog.text
    assert "int8 is torchao's here, since bitsandbytes is not installed." in in_words([component])
    assert 0 < (found - expected).norm() / expected.norm() < FARTHEST["int8"][role.startswith("text_encoder")]
    with store.use(plain, component) as (module, held):
        size = byte_count(held)
        assert size < 0.8 * byte_count(module)
        moved = Moved(held, host.current().device())
        assert torch.equal(result(store, component), found)
        moved.back()
        assert byte_count(held) == size
        if role == "transformer":
            quantize_(module, Int8WeightOnlyConfig())
            with torch.inference_mode():
                output = on_device(module)(**on_device(inputs_of(component)), return_dict=True)[0].float()
            assert torch.equal(on_cpu(output), found)
