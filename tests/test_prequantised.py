"""Repositories that hold their weights quantised: used as they are stored, or refused in a sentence before anything is read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models import host
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import select_component
from advanced_models.loaders.precision import PrecisionError
from advanced_models.loaders.prequantised import read_onto_the_cpu
from advanced_models.loaders.store import Store
from advanced_models.memory.cost import cost_of
from advanced_models.memory.preflight import preflight_of_prompt
from devices import on_cpu, on_device, onto_the_card
from safetensors.torch import load_file
from test_precision import inputs_of, result

SETTINGS: dict[str, dict[str, Any]] = {
    "nf4": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": torch.bfloat16,
        "bnb_4bit_use_double_quant": True,
    },
    "int8": {"load_in_8bit": True},
}
ROLES = ("transformer", "text_encoder_2")


def libraries_own(role: str, folder: Path, **options: Any) -> Any:
    """The part as its library loads it, on the CPU if nothing else is asked for."""
    import diffusers
    import transformers

    of_diffusers = role == "transformer"
    cls = diffusers.FluxTransformer2DModel if of_diffusers else transformers.T5EncoderModel
    with read_onto_the_cpu("diffusers" if of_diffusers else "transformers"):
        return cls.from_pretrained(folder, torch_dtype=torch.bfloat16, **options)


@pytest.fixture(scope="module")
def repositories(flux_dev: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FLUX with its two large networks quantised and saved by diffusers and transformers, one model for each precision."""
    import diffusers
    import transformers

    base = tmp_path_factory.mktemp("prequantised")
    for precision, settings in SETTINGS.items():
        for role, library in zip(ROLES, (diffusers, transformers), strict=True):
            module = libraries_own(role, flux_dev / role, quantization_config=library.BitsAndBytesConfig(**settings))
            module.save_pretrained(base / "diffusers" / precision / role)
        shutil.copy(flux_dev / "model_index.json", base / "diffusers" / precision)
    return base


@pytest.fixture
def store(repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("advanced_models.host._standalone", StandaloneHost.below(tmp_path, models=(repositories,)))
    store = Store()
    yield store
    store.clear()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("precision", SETTINGS)
def test_weights_are_used_as_they_are_stored(store: Store, repositories: Path, precision: Any, role: str) -> None:
    folder = repositories / "diffusers" / precision / role
    stored = [tensor.dtype for path in folder.glob("*.safetensors") for tensor in load_file(path).values()]
    assert (torch.uint8 if precision == "nf4" else torch.int8) in stored
    component = select_component("FLUX.1-dev", role, source=precision)
    expected = libraries_own(role, folder, **onto_the_card())
    with torch.inference_mode():
        wanted = on_cpu(expected(**on_device(inputs_of(component)), return_dict=True)[0]).float()
    assert torch.equal(result(store, component), wanted)
    # Asked for by its name it is the same.
    assert torch.equal(result(store, replace(component, precision=precision)), wanted)
    with store.use(component) as (module,):
        assert {parameter.device.type for parameter in module.parameters()} == {host.current().device().type}
        assert not any(hasattr(child, "_hf_hook") for child in module.modules())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("precision", SETTINGS)
def test_they_count_as_they_are_stored(store: Store, repositories: Path, precision: Any, role: str) -> None:
    stored = sum(path.stat().st_size for path in (repositories / "diffusers" / precision / role).glob("*.safetensors"))
    assert cost_of([select_component("FLUX.1-dev", role, source=precision)])["memory_bytes"] == stored
    graph = {"1": {"class_type": "FluxLoader", "inputs": {"model": "FLUX.1-dev", "precision": "auto", "source": precision}}}
    part = next(part for part in preflight_of_prompt(graph).parts if part.name == role)
    assert (part.precision, part.size) == (precision, stored)


def test_the_libraries_are_left_as_they_were() -> None:
    from transformers.quantizers.auto import Bnb4BitHfQuantizer

    before = Bnb4BitHfQuantizer.validate_environment
    with pytest.raises(ZeroDivisionError), read_onto_the_cpu("transformers"):
        assert Bnb4BitHfQuantizer.validate_environment is not before
        raise ZeroDivisionError
    assert Bnb4BitHfQuantizer.validate_environment is before


@pytest.mark.parametrize("change", [{"precision": "fp8"}, {"precision": "int8"}, {"placement": "offload_group"}])
def test_what_they_cannot_be_turned_into_is_refused(store: Store, change: dict[str, str]) -> None:
    component = replace(select_component("FLUX.1-dev", "transformer", source="nf4"), **change)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"stored as nf4, which cannot be turned into|held as nf4 cannot be streamed"), store.use(component):
        pass
    assert store.loads == 0


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "bitsandbytes fp4"),
        ({"quant_method": "torchao", "quant_type": {}}, "torchao"),
        ({"quant_method": "gguf"}, "gguf"),
        ({}, "an unknown method"),
    ],
)
def test_other_methods_are_refused_before_anything_is_read(
    store: Store, flux_dev: Path, tmp_path: Path, settings: dict[str, Any], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    shutil.copytree(flux_dev / "transformer", models / "diffusers" / "mine" / "transformer")
    config = models / "diffusers" / "mine" / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": settings}))
    monkeypatch.setattr("advanced_models.host._standalone", StandaloneHost.below(tmp_path))
    said = f"models/diffusers/mine/transformer holds weights that are quantised by {method}, of which .* choose the model's own repository"
    with pytest.raises(PrecisionError, match=said), store.use(select_component("FLUX.1-dev", "transformer", source="mine")):
        pass
    assert store.loads == 0


def test_a_missing_backend_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    component = select_component("FLUX.1-dev", "transformer", source="nf4")
    with pytest.raises(PrecisionError, match=r"nf4 needs bitsandbytes.*pip install --upgrade bitsandbytes"), store.use(component):
        pass
