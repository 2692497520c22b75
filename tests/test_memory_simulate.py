"""Simulated peaks against sums worked out by hand and published requests (test_memory_profiled.py: against real runs)."""

from __future__ import annotations

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.memory.estimate_values import Workload
from advanced_models.memory.simulate import simulate
from advanced_models.memory.simulate_models import ModelSpec, prepared, simulate_stage, tensor_sizes
from torch import nn

MIB = 2**20

WAN = {"num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 256, "text_dim": 64}
T5 = {"d_model": 256, "d_ff": 640, "d_kv": 32, "num_heads": 8, "num_layers": 2, "vocab_size": 1000, "feed_forward_proj": "gated-gelu"}


def test_live_bytes_of_a_chain() -> None:
    """Two layers of 1 MiB weights on 1 MiB tensors: input and output of one layer are alive together."""
    layers = nn.Sequential(nn.Linear(512, 512, bias=False), nn.Linear(512, 512, bias=False)).to("meta").requires_grad_(False)
    given = torch.empty(512, 512, device="meta")
    result = simulate(layers, lambda: layers(given))
    assert result.weights == 2 * MIB
    assert result.peak() == 3 * MIB  # the input, which stays ours, one layer's output and the next one's


def test_convolution_workspace() -> None:
    conv = nn.Conv2d(4, 8, 3, padding=1, bias=False, device="meta", dtype=torch.float16).requires_grad_(False)
    picture = torch.empty(1, 4, 256, 256, device="meta", dtype=torch.float16)
    result = simulate(conv, lambda: conv(picture))
    tensors = 4 * 256 * 256 * 2 + 8 * 256 * 256 * 2
    assert result.peak("none") == tensors
    assert result.peak("channels_last") == pytest.approx(2 * tensors, rel=0.001)  # and a copy of the weights


def test_unfolding_reproduces_published_requests() -> None:
    """What conv3d asked for in pytorch issues 95024 (108.21 GiB) and 128947 (161.37 GiB)."""
    for channels, out, shape, padding, dtype, published in (
        (64, 32, (362, 370, 251), 1, torch.float16, 108.21),
        (256, 64, (5, 1090, 1922), 0, torch.float32, 161.37),
    ):
        conv = nn.Conv3d(channels, out, 3, padding=padding, device="meta", dtype=dtype).requires_grad_(False)
        clip = torch.empty(1, channels, *shape, device="meta", dtype=dtype)
        result = simulate(conv, lambda conv=conv, clip=clip: conv(clip))
        assert max(result.workspaces[-1]) / 2**30 == pytest.approx(published, rel=1e-4)


def test_fused_attention_holds_no_matrix() -> None:
    states = torch.empty(1, 8, 1024, 64, device="meta", dtype=torch.bfloat16)
    attend = torch.nn.functional.scaled_dot_product_attention
    nothing = nn.Module()
    fused = simulate(nothing, lambda: attend(states, states, states))
    whole = simulate(nothing, lambda: attend(states, states, states), attention="math")
    one = 8 * 1024 * 64 * 2
    assert fused.peak() == 2 * one + 8 * 1024 * 4  # input, output, and a float32 for every row
    assert whole.peak() > 2 * 8 * 1024 * 1024 * 2  # scores and their softmax


def test_depth_does_not_matter() -> None:
    spec = ModelSpec.of_component("wan2.1-t2v-1.3b-transformer", "WanTransformer3DModel")
    work = Workload(832, 480, 81)
    peaks = {blocks: simulate_stage(spec, "denoise", work, blocks=blocks).peak() for blocks in (2, 4)}
    assert peaks[2] == peaks[4]


def test_a_language_model_keeps_states_of_every_block() -> None:
    text = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = {**text, "vocab_size": 1000, "model_type": "qwen3", "head_dim": 32}
    spec = ModelSpec("Qwen3ForCausalLM", config)
    work = Workload(text_tokens=128)
    try:
        deep = simulate_stage(spec, "encode", work, blocks=8).peak()
    except UserError as reason:
        pytest.skip(str(reason))  # older libraries ask the meta device for what it lacks
    assert simulate_stage(spec, "encode", work, blocks=2).peak() == pytest.approx(deep, rel=0.02)


def test_quantised_layers_hold_what_bitsandbytes_holds() -> None:
    config = WAN
    spec = ModelSpec("WanTransformer3DModel", config)
    half, nf4, int8 = (sum(tensor_sizes(prepared(spec, scheme))) for scheme in ("half", "nf4", "int8"))
    counts = spec.counts()
    assert half - nf4 == pytest.approx(counts.linear_weights * (2 - 0.5625), rel=0.01)
    assert half - int8 == counts.linear_weights - 4 * counts.linear_rows


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(UserError, match="no class NoSuchModel"):
        ModelSpec("NoSuchModel", {}).build()
    with pytest.raises(UserError, match="no option 'depth'"):
        ModelSpec("FluxTransformer2DModel", {"depth": 3}).build()
    with pytest.raises(UserError, match="not known how a T5EncoderModel is called"):
        simulate_stage(ModelSpec("T5EncoderModel", T5), "decode", Workload())
