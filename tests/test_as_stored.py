"""Weights that stay as their files hold them: what GGUF files and prequantised folders count as, and what goes with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.loaders.as_stored import stored_weights
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.gguf_layers import keeps, stored_matrix
from advanced_models.loaders.lora import Lora, with_lora
from advanced_models.loaders.store import Store
from advanced_models.memory.apply_plan import changed
from advanced_models.memory.cost import cost_of
from advanced_models.memory.plan import plans
from advanced_models.memory.plan_values import Machine
from advanced_models.memory.preflight import preflight_of_prompt
from gguf.quants import dequantize
from lora_support import make_lora, save
from single_file_layouts import bfl_flux, stored
from single_file_models import Own
from test_lora_identity import FLUX_LAYERS
from test_precision import result
from test_single_files_gguf import write_gguf

FLUX = "FLUX.1-dev"
SOURCE = "diffusion_models/mine.gguf"


@pytest.fixture
def file(own: Own) -> Path:
    """A FLUX transformer in Q8_0, beside the folder it was made from."""
    folder = own(FLUX)
    path = folder.parents[1] / SOURCE
    write_gguf(path, bfl_flux(stored(folder, "transformer")), "flux", gguf.GGMLQuantizationType.Q8_0)
    return path


def handle(**options: Any) -> Component:
    return select_component(FLUX, "transformer", source=SOURCE, **options)


def test_auto_keeps_the_file_and_a_named_precision_does_not(file: Path) -> None:
    assert handle().precision == "gguf"
    assert stored_weights(handle()) == ("gguf", file.stat().st_size)
    for precision in ("bf16", "fp8"):
        assert handle(precision=precision).precision == precision
        assert stored_weights(handle(precision=precision)) is None
    # The rest of the model, which the file does not hold, is as ever.
    assert select_component(FLUX, "text_encoder_2", source=SOURCE).precision == "bf16"
    assert select_component(FLUX, "transformer").precision == "bf16"


def test_a_file_that_is_gone_is_told(file: Path) -> None:
    component = handle()
    with (
        pytest.raises(UserError, match=r"The GGUF file of the transformer of FLUX\.1 \[dev\] is no longer there"),
        Store().use(replace(component, source="auto")),
    ):
        pass


def test_the_estimate_counts_the_files_own_bytes(file: Path) -> None:
    graph = {"1": {"class_type": "FluxLoader", "inputs": {"model": FLUX, "precision": "auto", "source": SOURCE}}}
    flight = preflight_of_prompt(graph)
    part = next(part for part in flight.parts if part.name == "transformer")
    assert (part.precision, part.size) == ("gguf", file.stat().st_size)
    assert cost_of([handle()])["memory_bytes"] == file.stat().st_size
    # Quantising once more is no way to make it fit.
    found = [plan.choices["transformer"] for plan in plans(flight.parts, Machine.of(8, 64))]
    assert {choice.precision for choice in found} == {"gguf"}
    assert all(changed(handle(), choice).precision == "gguf" for choice in found)


def test_its_blocks_can_be_streamed(file: Path) -> None:
    assert torch.equal(result(Store(), replace(handle(), placement="offload_group")), result(Store(), handle()))


def test_a_lora_lies_beside_it(file: Path) -> None:
    (file.parents[1] / "loras").mkdir()
    save(file.parents[1] / "loras", "style.safetensors", make_lora(file.parents[1] / "diffusers" / FLUX / "transformer", FLUX_LAYERS))
    lora = Lora("style.safetensors", 0.7)
    found, expected = (result(Store(), with_lora(handle(precision=precision), lora)) for precision in ("auto", "bf16"))
    plain = result(Store(), handle())
    assert (found - expected).norm() < 0.02 * expected.norm() < 0.1 * (found - plain).norm()


@pytest.mark.parametrize("name", ["Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "IQ4_NL", "IQ4_XS"])
def test_what_stays_means_what_the_gguf_package_says(name: str) -> None:
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    kind = gguf.GGMLQuantizationType[name]
    assert keeps(kind)
    _, row = gguf.GGML_QUANT_SIZES[kind]
    # Below 64, so that every half of two bytes is a number and a small one.
    data = np.random.default_rng(0).integers(0, 64, size=6 * row, dtype=np.uint8)
    found = dequantize_gguf_tensor(stored_matrix(data, kind, 3)[1:]).float()
    expected = torch.from_numpy(np.array(dequantize(data, kind))).reshape(3, -1)[1:]
    assert found.shape == expected.shape
    # In half precision: eleven bits.
    assert (found - expected).abs().max() <= 2**-10 * expected.abs().max()
