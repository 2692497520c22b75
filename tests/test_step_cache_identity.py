"""With StepCache, every architecture makes what the whole diffusers pipeline makes with the same cache, bit for bit, and skips blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from devices import on_cpu, on_device
from qwen_models import qwen_folder, qwen_host
from step_cache_support import attention_runs, enable_cache, needs_mag_cache, with_cache
from test_flux_identity import PROMPT as FLUX_PROMPT
from test_flux_identity import SIZE as FLUX_SIZE
from test_flux_identity import whole_pipeline as whole_flux
from test_qwen_image_identity import PROMPT as QWEN_PROMPT
from test_qwen_image_identity import whole_pipeline as whole_qwen
from wan_support import conditioned, decode, denoise, parts_of, picture, to_pil
from wan_support import whole_pipeline as whole_wan

__all__ = ["qwen_folder", "qwen_host"]

SEED = 1234
STEPS = 8
# Small random models change much from step to step: diffusers' own threshold would never skip.
FIRST_BLOCK: dict[str, Any] = {"kind": "FirstBlock", "threshold": 1.5}
TAYLOR_SEER: dict[str, Any] = {"kind": "TaylorSeer", "interval": 2}


def first_block() -> Any:
    return diffusers.FirstBlockCacheConfig(threshold=1.5)


def taylor_seer(lite: bool = False) -> Any:
    return diffusers.TaylorSeerCacheConfig(cache_interval=2, use_lite_mode=lite)


def mag_cache(steps: int) -> Any:
    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

    return diffusers.MagCacheConfig(mag_ratios=FLUX_MAG_RATIOS, num_inference_steps=steps)


FLUX_CACHES = [
    pytest.param(FIRST_BLOCK, first_block, id="FirstBlock"),
    pytest.param(TAYLOR_SEER, taylor_seer, id="TaylorSeer"),
    pytest.param({"kind": "MagCache"}, lambda: mag_cache(STEPS), id="MagCache", marks=needs_mag_cache),
]


def paint_flux(
    precision: str, cache: dict[str, Any] | None, start: torch.Tensor | None = None, **settings: Any
) -> tuple[torch.Tensor, int]:
    """Pictures [B, H, W, 3], and how often the last block's attention ran."""
    load, encode_text, encode, denoise_flux, decode_flux = (
        NODE_CLASS_MAPPINGS[name]() for name in ("FluxLoader", "FluxPromptEncode", "FluxEncode", "FluxDenoise", "FluxDecode")
    )
    with torch.inference_mode():
        transformer, clip_l, t5_xxl, vae, _ = load.select("FLUX.1-dev", precision)
        (conditioning,) = encode_text.encode(clip_l, t5_xxl, FLUX_PROMPT)
        latent = None if start is None else encode.encode(vae, start)[0]
        handle = transformer if cache is None else with_cache(transformer, **cache)
        with attention_runs(transformer) as runs:
            (samples,) = denoise_flux.denoise(handle, conditioning, **FLUX_SIZE, seed=SEED, steps=STEPS, latent=latent, **settings)
        return decode_flux.decode(vae, samples)[0], runs[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("cache", "config"), FLUX_CACHES)
def test_flux(use_host: object, flux_dev: Path, precision: str, cache: dict[str, Any], config: Callable[[], Any]) -> None:
    call = {"num_inference_steps": STEPS, "guidance_scale": 3.5, "max_sequence_length": 512}
    expected = whole_flux("FluxPipeline", flux_dev, precision, config(), **call)
    images, runs = paint_flux(precision, cache)
    assert torch.equal(images, expected)
    assert 0 < runs < STEPS
    without, all_runs = paint_flux(precision, None)
    assert all_runs == STEPS
    assert not torch.equal(without, images)


@pytest.mark.parametrize(("cache", "config"), FLUX_CACHES[:2])
def test_flux_image_to_image(use_host: object, flux_dev: Path, cache: dict[str, Any], config: Callable[[], Any]) -> None:
    """FluxImg2ImgPipeline names no context for its one pass, so by hand the whole run is given one."""
    from contextlib import ExitStack

    start = picture(FLUX_SIZE["width"], FLUX_SIZE["height"])
    pipeline = diffusers.FluxImg2ImgPipeline.from_pretrained(flux_dev).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    enable_cache(pipeline, config())
    on_device(pipeline)
    call = {"num_inference_steps": STEPS, "guidance_scale": 3.5, "max_sequence_length": 512, "strength": 0.7, **FLUX_SIZE}
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(pipeline.transformer.cache_context("the only one"))
        generator = torch.Generator().manual_seed(SEED)
        expected = pipeline(FLUX_PROMPT, image=start.movedim(-1, 1), **call, generator=generator, output_type="pt").images
    images, runs = paint_flux("fp32", cache, start, denoise=0.7)
    assert torch.equal(images, on_cpu(expected).movedim(1, -1))
    assert 0 < runs < 6


@pytest.mark.parametrize(("cache", "lite"), [(FIRST_BLOCK, None), (TAYLOR_SEER, True)])
@pytest.mark.parametrize("model", ["Wan2.1-T2V-1.3B", "Wan2.1-I2V-14B-480P", "Wan2.2-T2V-A14B", "Wan2.2-TI2V-5B"])
def test_wan(wan_host: object, wan_models_folder: Path, model: str, cache: dict[str, Any], lite: bool | None) -> None:
    """With two passes per step, and of A14B on both experts: what an expert computed is never taken for the other's."""
    config = first_block() if lite is None else taylor_seer(lite)
    image = {"image": to_pil(picture())} if "-I2V-" in model else {}
    pipeline = "WanImageToVideoPipeline" if image else "WanPipeline"
    steps = 12
    expected = whole_wan(pipeline, wan_models_folder / "diffusers" / model, "fp32", cache=config, num_inference_steps=steps, **image)
    with torch.inference_mode():
        parts = parts_of(model)
        inputs = conditioned(parts, picture() if image else None)
        with attention_runs(parts["transformer"]) as runs:
            everything = denoise(parts, inputs, steps=steps)
            computed = list(runs)
            latent = denoise(parts | {"transformer": with_cache(parts["transformer"], **cache)}, inputs, steps=steps)
        assert torch.equal(decode(parts["vae"], latent), expected)
        assert not torch.equal(latent["samples"], everything["samples"])
    assert sum(computed) == 2 * steps
    assert all(0 < both - alone < alone for both, alone in zip(runs, computed, strict=True))


@pytest.mark.parametrize(("cache", "config"), FLUX_CACHES[:2])
def test_qwen_image(qwen_host: object, qwen_folder: Path, cache: dict[str, Any], config: Callable[[], Any]) -> None:
    size = {"width": 64, "height": 80}
    folder = qwen_folder / "diffusers" / "Qwen-Image"
    expected = whole_qwen("QwenImagePipeline", folder, "bf16", QWEN_PROMPT, "blurry", config(), **size, num_inference_steps=STEPS)
    load, encode, denoise_qwen, decode_qwen = (
        NODE_CLASS_MAPPINGS[f"QwenImage{name}"]() for name in ("Loader", "PromptEncode", "Denoise", "Decode")
    )
    with torch.inference_mode():
        transformer, qwen_vl, vae, _ = load.select("Qwen-Image", "bf16")
        positive, negative = encode.encode(qwen_vl, QWEN_PROMPT, "blurry", vae=vae)
        with attention_runs(transformer) as runs:
            handle = with_cache(transformer, **cache)
            (samples,) = denoise_qwen.denoise(handle, positive, negative=negative, seed=SEED, steps=STEPS, **size)
        assert torch.equal(decode_qwen.decode(vae, samples)[0], expected)
    assert 0 < runs[0] < 2 * STEPS
