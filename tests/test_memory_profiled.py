"""Simulated peaks of every class against what torch's profiler sees when the same class, small, runs on real tensors for the first time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.loaders.registry import load_registry
from advanced_models.memory.estimate_forms import record_of
from advanced_models.memory.estimate_values import Stage, Workload
from advanced_models.memory.simulate import simulate
from advanced_models.memory.simulate_inputs import forward
from advanced_models.memory.simulate_models import ModelSpec, tensor_sizes
from advanced_models.memory.simulate_workspace import WorkspaceRule
from torch import nn

FLUX = {
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 8,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 32,
    "axes_dims_rope": [8, 12, 12],
    "in_channels": 16,
    "guidance_embeds": True,
}
FLUX2 = {
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 4,
    "joint_attention_dim": 64,
    "in_channels": 16,
    "axes_dims_rope": [8, 8, 8, 8],
    "guidance_embeds": False,
}
Z_IMAGE = {"dim": 128, "n_layers": 2, "n_refiner_layers": 1, "n_heads": 4, "n_kv_heads": 4, "cap_feat_dim": 64, "axes_dims": [8, 12, 12]}
WAN = {"num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 256, "text_dim": 64}
WAN_VACE = {**WAN, "vace_layers": [0, 1], "vace_in_channels": 96}
QWEN_IMAGE = {
    "num_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 4,
    "joint_attention_dim": 64,
    "in_channels": 16,
    "out_channels": 4,
    "axes_dims_rope": [8, 12, 12],
}
UNET = {
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": [4, 8],
    "norm_num_groups": 8,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}
SDXL_UNET = {
    **UNET,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 16,
    "projection_class_embeddings_input_dim": 6 * 16 + 64,
    "transformer_layers_per_block": [1, 2],
    "use_linear_projection": True,
}
T5 = {"d_model": 256, "d_ff": 640, "d_kv": 32, "num_heads": 8, "num_layers": 2, "vocab_size": 1000, "feed_forward_proj": "gated-gelu"}
CLIP = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1000}
CLIP_VISION = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 14}
SIGLIP = {**CLIP_VISION, "patch_size": 16}
QWEN_TEXT = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}
VISION = {"hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 128}
QWEN3_VL = {
    "text_config": {**QWEN_TEXT, "head_dim": 32, "rope_scaling": {"rope_type": "default", "mrope_section": [6, 5, 5]}},
    "vision_config": {**VISION, "depth": 1, "deepstack_visual_indexes": [0]},
}
MISTRAL = {
    "text_config": {**QWEN_TEXT, "model_type": "mistral", "head_dim": 32},
    "vision_config": {
        "model_type": "pixtral",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
}
QWEN_VL = {
    "text_config": {**QWEN_TEXT, "rope_scaling": {"type": "default", "mrope_section": [4, 6, 6], "rope_type": "default"}},
    "vision_config": {**VISION, "depth": 1},
}
PICTURE_VAE = {
    "block_out_channels": [32, 64, 64, 64],
    "latent_channels": 16,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
VIDEO_VAE = {"base_dim": 16, "z_dim": 16, "num_res_blocks": 1}
WAN22_VAE = {
    **VIDEO_VAE,
    "z_dim": 48,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "is_residual": True,
    "scale_factor_spatial": 16,
    "temperal_downsample": [False, True, True],
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
PICTURE, CLIP_OF_17, PICTURE_TO_VIDEO = Workload(512, 512, text_tokens=64), Workload(512, 512, 17), Workload(256, 256, 9)

TRANSFORMERS_AND_ENCODERS: dict[str, tuple[str, dict[str, Any], Stage, Workload]] = {
    "flux": ("FluxTransformer2DModel", FLUX, "denoise", PICTURE),
    "flux, batch": ("FluxTransformer2DModel", FLUX, "denoise", replace(PICTURE, batch=2)),
    "flux.2": ("Flux2Transformer2DModel", FLUX2, "denoise", PICTURE),
    "z-image": ("ZImageTransformer2DModel", Z_IMAGE, "denoise", PICTURE),
    "wan t2v": ("WanTransformer3DModel", WAN, "denoise", CLIP_OF_17),
    "wan i2v 2.1": ("WanTransformer3DModel", {**WAN, "in_channels": 36, "image_dim": 64, "added_kv_proj_dim": 128}, "denoise", CLIP_OF_17),
    "wan flf2v 2.1": (
        "WanTransformer3DModel",
        {**WAN, "in_channels": 36, "image_dim": 64, "added_kv_proj_dim": 128, "pos_embed_seq_len": 514},
        "denoise",
        CLIP_OF_17,
    ),
    "wan i2v 2.2": ("WanTransformer3DModel", {**WAN, "in_channels": 36}, "denoise", CLIP_OF_17),
    "wan ti2v 2.2": ("WanTransformer3DModel", {**WAN, "in_channels": 48, "out_channels": 48}, "denoise", CLIP_OF_17),
    "wan vace": ("WanVACETransformer3DModel", WAN_VACE, "denoise", CLIP_OF_17),
    "qwen-image": ("QwenImageTransformer2DModel", QWEN_IMAGE, "denoise", PICTURE),
    "qwen-image-edit": ("QwenImageTransformer2DModel", QWEN_IMAGE, "denoise", replace(PICTURE, reference_images=1)),
    "qwen-image-edit-2511": (
        "QwenImageTransformer2DModel",
        {**QWEN_IMAGE, "zero_cond_t": True},
        "denoise",
        replace(PICTURE, reference_images=2),
    ),
    "sd unet": ("UNet2DConditionModel", UNET, "denoise", replace(PICTURE, text_tokens=77)),
    "sdxl unet, guided": ("UNet2DConditionModel", SDXL_UNET, "denoise", replace(PICTURE, text_tokens=77, doubled=True)),
    "t5": ("T5EncoderModel", T5, "encode", Workload(text_tokens=512, batch=2)),
    "umt5": ("UMT5EncoderModel", T5, "encode", Workload(text_tokens=512, batch=2)),
    "clip": ("CLIPTextModel", CLIP, "encode", Workload(text_tokens=77, batch=4)),
    "clip g": ("CLIPTextModelWithProjection", CLIP, "encode", Workload(text_tokens=77, batch=4)),
    "clip vision": ("CLIPVisionModel", CLIP_VISION, "encode", Workload()),
    "siglip": ("SiglipVisionModel", SIGLIP, "encode", Workload()),
    "qwen2.5-vl": ("Qwen2_5_VLForConditionalGeneration", QWEN_VL, "encode", Workload(text_tokens=512)),
    "qwen3-vl": ("Qwen3VLForConditionalGeneration", QWEN3_VL, "encode", Workload(text_tokens=512)),
    "mistral": ("Mistral3ForConditionalGeneration", MISTRAL, "encode", Workload(text_tokens=512)),
    "qwen3": ("Qwen3ForCausalLM", {**QWEN_TEXT, "head_dim": 32}, "encode", Workload(text_tokens=512)),
}
VAES: dict[str, tuple[str, dict[str, Any], Stage, Workload]] = {
    f"{name}, {stage}": (class_name, config, stage, workload)
    for stage in ("decode", "encode")
    for name, class_name, config, workload in (
        ("flux vae", "AutoencoderKL", {**PICTURE_VAE, "use_quant_conv": False, "use_post_quant_conv": False}, Workload(256, 256)),
        ("sd vae", "AutoencoderKL", {**PICTURE_VAE, "latent_channels": 4}, Workload(256, 320)),
        ("flux.2 vae", "AutoencoderKLFlux2", PICTURE_VAE, Workload(256, 256)),
        ("wan vae 2.1", "AutoencoderKLWan", VIDEO_VAE, Workload(128, 128, 9)),
        ("wan vae 2.2", "AutoencoderKLWan", WAN22_VAE, Workload(128, 128, 9)),
        ("qwen-image vae", "AutoencoderKLQwenImage", VIDEO_VAE, Workload(128, 128)),
    )
}


def profiled(spec: ModelSpec, run: Callable[[nn.Module], object]) -> int:
    """The most bytes above the weights that torch's CPU allocator held while the module was built and run for the first time."""
    # The cycles of an earlier case, freed in the middle of this one, would count as memory given back by it.
    gc.collect()
    with torch.no_grad(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        module = spec.build("cpu")
        result = run(module)
    del result
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak - sum(tensor_sizes(module))


def check(class_name: str, config: dict[str, Any], stage: Stage, workload: Workload, rule: WorkspaceRule, tolerance: float) -> None:
    """Compare the profiler with the simulation of the same class on the meta device, and with the tracker on real tensors."""
    spec = ModelSpec(class_name, config)
    try:
        meta = spec.build()
    except UserError as reason:
        pytest.skip(str(reason))  # a class or an option that older libraries do not have

    # Inputs are made within the run, so that the profiler sees them as well.
    def run(subject: nn.Module, device: str) -> object:
        return forward(subject, class_name, stage, workload, torch.float32, device=device)()

    measured = profiled(spec, lambda module: run(module, "cpu"))
    real = spec.build("cpu")
    tracked = simulate(real, lambda: run(real, "cpu"), attention=None).peak(rule)
    assert tracked == pytest.approx(measured, rel=tolerance)
    try:
        predicted = simulate(meta, lambda: run(meta, "meta"), fused_rms_norm=False).peak(rule)
    except RuntimeError as reason:
        if "unsupported scalarType" not in str(reason):
            raise
        pytest.skip("language models of transformers 4 ask torch.autocast for the meta device, which it does not know")
    assert predicted == pytest.approx(measured, rel=tolerance)


@pytest.mark.parametrize("name", TRANSFORMERS_AND_ENCODERS)
def test_the_prediction_is_what_a_real_run_takes(name: str) -> None:
    check(*TRANSFORMERS_AND_ENCODERS[name], rule="cpu", tolerance=0.01)


@pytest.mark.parametrize("name", VAES)
def test_convolutions_take_what_the_rule_for_this_processor_says(name: str) -> None:
    check(*VAES[name], rule="cpu", tolerance=0.05)


def test_every_class_with_coefficients_is_compared_with_a_real_run() -> None:
    registry = load_registry()
    simulated = {entry.class_name for entry in registry.components.values() if record_of(entry.id) is not None}
    assert simulated == {case[0] for case in (*TRANSFORMERS_AND_ENCODERS.values(), *VAES.values())}
