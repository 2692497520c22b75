"""Bytes of weights per precision, against the allocation lists of real modules and published memory readings."""

from __future__ import annotations

import pytest
from advanced_models.errors import UserError
from advanced_models.loaders.registry import load_registry
from advanced_models.memory.weights import (
    LibraryRules,
    ParameterCounts,
    bytes_of,
    model_weight_bytes,
    parameter_counts,
    weight_bytes,
)

GIB = 2**30

# GiB, from summing the tensors of full-size modules on the meta device under each scheme (not with this package's code), with
# transformers 5 and with layerwise casting as diffusers 0.36 did it: bf16, fp8 by layerwise casting, bitsandbytes int8, nf4.
MEASURED = {
    "flux1-dev-transformer": (22.168, 14.109, 11.098, 6.239),
    "flux1-schnell-transformer": (22.149, 14.099, 11.089, 6.234),
    "clip-l-encoder": (0.229, 0.150, 0.150, 0.116),
    # fp8 leaves out T5's `wo` (24 x 4096 x 10240), which asks its weight for the dtype of its input.
    "t5-xxl-encoder": (8.870, 5.496, 5.499, 4.019),
    "umt5-xxl-encoder": (10.582, 7.207, 7.210, 5.730),
    "clip-vit-h-image-encoder": (1.175, 0.589, 0.590, 0.333),
    "wan2.1-t2v-1.3b-transformer": (2.650, 1.353, 1.335, 0.756),
    "wan2.1-t2v-14b-transformer": (26.670, 13.582, 13.402, 7.585),
    "wan2.1-i2v-14b-480p-transformer": (30.593, 15.552, 15.366, 8.689),
    "wan2.2-i2v-a14b-high-noise-transformer": (26.670, 13.582, 13.403, 7.585),
    "wan2.2-ti2v-5b-transformer": (9.334, 4.763, 4.695, 2.658),
    "qwen-image-transformer": (38.055, 19.045, 19.053, 10.710),
    "qwen2.5-vl-3b": (6.994, 3.788, 3.794, 2.387),
    "qwen2.5-vl-7b": (15.445, 8.232, 8.747, 5.806),
    "qwen2.5-vl-32b": (62.311, 31.882, 32.627, 19.614),
    "qwen2.5-vl-72b": (136.738, 69.532, 70.721, 41.799),
    "sd15-unet": (1.601, 0.801, 1.350, 1.239),
    "sdxl-unet": (4.782, 2.392, 2.708, 1.793),
}
DIFFUSERS_0_36 = LibraryRules(fp32_beside_bitsandbytes=False, casts_embeddings=False)


@pytest.mark.parametrize("component", MEASURED)
def test_bytes_equal_the_measured_modules(component: str) -> None:
    got = [weight_bytes(component, precision, DIFFUSERS_0_36) / GIB for precision in ("bf16", "fp8", "int8", "nf4")]
    # 0.03 %, and 2 MiB: the figures include buffers such as Wan's table of rotary frequencies.
    assert got == [pytest.approx(expected, rel=3e-4, abs=2e-3) for expected in MEASURED[component]]


def test_published_readings_of_flux_dev() -> None:
    """Memory after loading FLUX.1-dev on an H100, from the dataset derekl35/diffusers-quantization-benchmarks, in GiB."""
    model = load_registry().model("FLUX.1-dev")
    transformers_4 = LibraryRules(fp32_beside_bitsandbytes=True, casts_embeddings=False)
    assert model_weight_bytes(model, "bf16", transformers_4) / GIB == pytest.approx(31.447, rel=0.002)
    # fp8 there meant the transformer alone. Readings are what the allocator holds, which grows by its gaps when weights shrink.
    others = sum(weight_bytes(c, "bf16") for c in ("clip-l-encoder", "t5-xxl-encoder", "flux1-vae"))
    fp8 = weight_bytes("flux1-dev-transformer", "fp8", transformers_4) + others
    assert fp8 / GIB == pytest.approx(23.682, rel=0.015)
    # 4 and 8 bit there: transformer and T5 quantised, T5's `wo` in fp32 as transformers 4 holds it: 12.584 and 19.273
    small = sum(weight_bytes(c, "bf16") for c in ("clip-l-encoder", "flux1-vae"))
    for precision, published, tolerance in (("nf4", 12.584, 0.03), ("int8", 19.273, 0.03)):
        quantised = sum(weight_bytes(c, precision, transformers_4) for c in ("flux1-dev-transformer", "t5-xxl-encoder"))
        assert (quantised + small) / GIB == pytest.approx(published, rel=tolerance)


def test_versions_change_the_bytes() -> None:
    newest, oldest = LibraryRules(), LibraryRules(fp32_beside_bitsandbytes=True, casts_embeddings=False)
    wo = 24 * 4096 * 10240  # T5-XXL: 24 layers, d_ff x d_model
    assert weight_bytes("t5-xxl-encoder", "nf4", oldest) - weight_bytes("t5-xxl-encoder", "nf4", newest) == 2 * wo
    assert weight_bytes("t5-xxl-encoder", "fp16", newest) - weight_bytes("t5-xxl-encoder", "bf16", newest) == 2 * wo
    positions = 24 * 32 * 64  # UMT5: 32 relative positions x 64 heads in each layer
    assert weight_bytes("umt5-xxl-encoder", "fp8", oldest) - weight_bytes("umt5-xxl-encoder", "fp8", newest) == positions
    assert weight_bytes("flux1-dev-transformer", "nf4", oldest) == weight_bytes("flux1-dev-transformer", "nf4", newest)


def test_fp32_is_four_bytes_a_parameter() -> None:
    for component in load_registry().components.values():
        if component.parameters:
            assert weight_bytes(component.id, "fp32") == 4 * component.parameters


def test_nf4_equals_a_real_quantisation() -> None:
    """One Linear layer quantised by bitsandbytes itself: packed weights, scales and table."""
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(96, 200)  # 300 blocks of 64
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", blocksize=64)
    real = sum(t.numel() * t.element_size() for t in (packed, state.absmax, state.code))
    counts = ParameterCounts(weight.numel(), linear_weights=weight.numel(), linear_rows=96, linear_blocks=300, linear_layers=1)
    assert bytes_of(counts, "nf4", LibraryRules()) == real


def test_a_component_of_the_users_own_is_taken_as_linear_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = parameter_counts()
    without = {name: count for name, count in counts.items() if name != "flux1-dev-transformer"}
    monkeypatch.setattr("advanced_models.memory.weights.parameter_counts", lambda: without)
    assert weight_bytes("flux1-dev-transformer", "bf16") == 2 * 11_901_408_320
    assert weight_bytes("flux1-dev-transformer", "nf4") == pytest.approx(0.5625 * 11_901_408_320, rel=1e-6)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(UserError, match="no precision 'int3'"):
        weight_bytes("flux1-vae", "int3")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no component 'flux-vae'"):
        weight_bytes("flux-vae", "bf16")
