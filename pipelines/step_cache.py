"""Step caches on a loaded transformer: put on for one run and taken off after it, because the module is everyone's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..loaders.component import Component
    from ..loaders.step_cache import StepCache

# The first step that may be skipped, counted from 0: one must have been computed; TaylorSeerCacheConfig.disable_cache_before_step is 3.
_FIRST_SKIPPED = {"FirstBlock": 1, "TaylorSeer": 3, "MagCache": 1}


def check_step_cache(transformer: Component, steps: int, *, strength: float = 1.0) -> None:
    """Refuse a run of `steps` in which the transformer's cache could skip nothing, or skips by ratios that are not the run's.

    `strength` is the part of the schedule that runs. Raises UserError, also when the installed diffusers does not have the cache.
    """
    cache = transformer.step_cache
    if cache is None:
        return
    import diffusers

    if not hasattr(diffusers, _config_name(cache)):
        raise UserError(
            f"The installed diffusers {diffusers.__version__} has no {cache.kind} (0.37 and later have): update it with "
            "`pip install --upgrade diffusers`, or choose FirstBlock in StepCache."
        )
    if cache.kind == "MagCache" and strength < 1:
        raise UserError(f"MagCache's ratios are those of a whole run, and denoise is {strength:g}: set it to 1, or choose FirstBlock.")
    computed = _FIRST_SKIPPED[cache.kind]
    if steps <= computed:
        raise UserError(
            f"{cache.kind} computes the first {computed} steps of a run and this one has {steps}: remove StepCache, or raise steps."
        )


@contextmanager
def cached_steps(module: Any, transformer: Component, steps: int) -> Iterator[None]:
    """Within the block, a run of `steps`, the transformer's module has the handle's step cache; after it, it is as it was."""
    cache = transformer.step_cache
    if cache is None:
        yield
        return
    from diffusers.hooks import HookRegistry

    module.enable_cache(_config(cache, transformer.entry.class_name, steps))
    try:
        # diffusers 0.38 to 0.40 go on using the list of hooks that they made before the cache's were there.
        HookRegistry.check_if_exists_or_initialize(module)._child_registries_cache = None
        # FluxImg2ImgPipeline and FluxInpaintPipeline name no context; the other loops name theirs within this one.
        with module.cache_context("cond"):
            yield
    finally:
        module.disable_cache()


def _config_name(cache: StepCache) -> str:
    return f"{cache.kind.removesuffix('Cache')}CacheConfig"


def _config(cache: StepCache, transformer_class: str, steps: int) -> Any:
    """diffusers' config of the cache."""
    import diffusers

    config_class = getattr(diffusers, _config_name(cache))
    if cache.kind == "TaylorSeer":
        # Wan's attention modules have names that the full mode does not look for.
        return config_class(cache_interval=cache.interval, use_lite_mode=transformer_class == "WanTransformer3DModel")
    threshold = {} if cache.threshold is None else {"threshold": cache.threshold}
    if cache.kind == "FirstBlock":
        return config_class(**threshold)
    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

    return config_class(**threshold, num_inference_steps=steps, mag_ratios=FLUX_MAG_RATIOS)
