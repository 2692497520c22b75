"""StepCache changes no module for anyone else: not after a run, not after a stopped one; and it refuses where it could not work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from advanced_models.errors import Interrupted, UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from qwen_models import qwen_folder, qwen_host
from step_cache_support import attention_runs, needs_mag_cache, with_cache
from wan_support import conditioned, denoise, parts_of

__all__ = ["qwen_folder", "qwen_host"]

SIZE = {"width": 64, "height": 64}


def flux_parts() -> tuple[Any, Any]:
    """A transformer and a conditioning."""
    transformer, clip_l, t5_xxl, *_ = NODE_CLASS_MAPPINGS["FluxLoader"]().select("FLUX.1-dev", "fp32")
    return transformer, NODE_CLASS_MAPPINGS["FluxPromptEncode"]().encode(clip_l, t5_xxl, "a red fox")[0]


def paint(transformer: Any, conditioning: Any, steps: int = 8, **settings: Any) -> torch.Tensor:
    with torch.inference_mode():
        latent = NODE_CLASS_MAPPINGS["FluxDenoise"]().denoise(transformer, conditioning, **SIZE, seed=7, steps=steps, **settings)[0]
    samples: torch.Tensor = latent["samples"]
    return samples


CACHES: list[dict[str, Any]] = [{"kind": "FirstBlock", "threshold": 1.5}, {"kind": "TaylorSeer", "interval": 2}]


@pytest.mark.parametrize("cache", CACHES)
def test_with_and_without_in_turn(use_host: object, cache: dict[str, Any]) -> None:
    """Two branches of a graph share the module, and only one of them has the cache."""
    transformer, conditioning = flux_parts()
    handle = with_cache(transformer, **cache)
    plain, cached = paint(transformer, conditioning), paint(handle, conditioning)
    assert not torch.equal(plain, cached)
    loads = STORE.loads
    assert torch.equal(paint(transformer, conditioning), plain)
    assert torch.equal(paint(handle, conditioning), cached)
    assert STORE.loads == loads
    with STORE.use(transformer) as (module,):
        assert not module.is_cache_enabled


@pytest.mark.parametrize("off", [{"kind": "FirstBlock", "threshold": 0.0}, {"kind": "TaylorSeer", "interval": 1}])
def test_off(use_host: object, off: dict[str, Any]) -> None:
    """Also takes off what a node before it put on."""
    transformer, _ = flux_parts()
    assert with_cache(transformer, **off) == transformer
    assert with_cache(with_cache(transformer, "TaylorSeer"), **off) == transformer


@pytest.mark.parametrize("cache", CACHES)
def test_a_stopped_run_leaves_nothing_behind(wan_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch, cache: dict[str, Any]) -> None:
    with torch.inference_mode():
        parts = parts_of("Wan2.2-T2V-A14B")
        inputs = conditioned(parts)
        plain = denoise(parts, inputs, steps=8)["samples"]
        cached_parts = parts | {"transformer": with_cache(parts["transformer"], **cache)}
        expected = denoise(cached_parts, inputs, steps=8)["samples"]
        # Each check is one block or one step: the run stops within its third step, and within one of the second expert.
        for left in (8, 21):
            remaining = iter(range(left))

            def stop(remaining: Any = remaining) -> None:
                if next(remaining, None) is None:
                    raise Interrupted

            with monkeypatch.context() as patch:
                patch.setattr(wan_host, "raise_if_interrupted", stop)
                with pytest.raises(Interrupted):
                    denoise(cached_parts, inputs, steps=8)
            assert torch.equal(denoise(cached_parts, inputs, steps=8)["samples"], expected)
        assert torch.equal(denoise(parts, inputs, steps=8)["samples"], plain)


def test_lora_and_cache_in_either_order(use_host: object) -> None:
    transformer, _ = flux_parts()
    first = with_cache(transformer, "FirstBlock")
    (second,) = NODE_CLASS_MAPPINGS["LoRALoader"]().add(first)
    assert second == first
    assert with_cache(transformer, "FirstBlock", threshold=0.2).step_cache.threshold == 0.2
    assert first.step_cache.threshold is None


def test_both_experts(wan_host: object) -> None:
    handle = with_cache(parts_of("Wan2.2-I2V-A14B")["transformer"], "FirstBlock")
    assert [expert.step_cache.kind for expert in handle.components] == ["FirstBlock", "FirstBlock"]


@pytest.mark.parametrize(("kind", "steps"), [("FirstBlock", 1), ("TaylorSeer", 3), pytest.param("MagCache", 1, marks=needs_mag_cache)])
def test_fewer_steps_than_the_cache_needs(use_host: object, kind: str, steps: int) -> None:
    transformer, conditioning = flux_parts()
    with pytest.raises(UserError, match=f"{kind} computes the first {steps} steps of a run and this one has {steps}: remove StepCache"):
        paint(with_cache(transformer, kind), conditioning, steps)
    settings: dict[str, Any] = {"interval": 2} if kind == "TaylorSeer" else {"threshold": 10.0}
    with attention_runs(transformer) as runs:
        paint(with_cache(transformer, kind, **settings), conditioning, steps + 1)
    assert runs == [steps]


@needs_mag_cache
def test_mag_cache_needs_the_whole_schedule(use_host: object) -> None:
    transformer, conditioning = flux_parts()
    start = {"samples": torch.zeros(1, 16, 8, 8)}
    with pytest.raises(UserError, match=r"MagCache's ratios are those of a whole run, and denoise is 0\.5"):
        paint(with_cache(transformer, "MagCache"), conditioning, latent=start, denoise=0.5)


def test_mag_cache_has_ratios_for_flux_alone(qwen_host: object, wan_models_folder: Path) -> None:
    wan = parts_of("Wan2.1-T2V-1.3B")["transformer"]
    qwen = NODE_CLASS_MAPPINGS["QwenImageLoader"]().select("Qwen-Image")[0]
    for handle in (wan, qwen):
        with pytest.raises(
            UserError, match=r"diffusers has those of FLUX\.1 alone: for the transformer of .* choose FirstBlock or TaylorSeer"
        ):
            with_cache(handle, "MagCache")


def test_a_diffusers_without_the_cache(use_host: object, monkeypatch: pytest.MonkeyPatch) -> None:
    transformer, conditioning = flux_parts()
    loads = STORE.loads
    monkeypatch.delattr(diffusers, "MagCacheConfig", raising=False)
    monkeypatch.setitem(diffusers._class_to_module, "MagCacheConfig", "gone")
    monkeypatch.delitem(diffusers._class_to_module, "MagCacheConfig")
    with pytest.raises(UserError, match=r"has no MagCache \(0\.37 and later have\): update it with"):
        paint(with_cache(transformer, "MagCache"), conditioning)
    assert STORE.loads == loads


def test_what_takes_no_cache(use_host: object) -> None:
    vae = NODE_CLASS_MAPPINGS["FluxLoader"]().select("FLUX.1-dev")[3]
    with pytest.raises(UserError, match="takes no step cache: connect the transformer of"):
        with_cache(vae, "FirstBlock")
    with pytest.raises(UserError, match="no transformer of this pack: connect FluxLoader"):
        with_cache("model", "FirstBlock")
