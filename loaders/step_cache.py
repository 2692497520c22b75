"""Step caches as values on a transformer's handle: which there are, and which transformer can use which.

A step cache reuses what a transformer computed in one step for the next ones. Nothing here touches a module; `pipelines.step_cache` puts
a cache onto a loaded one for the length of a run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import UserError

if TYPE_CHECKING:
    from .component import Component

Kind = Literal["FirstBlock", "TaylorSeer", "MagCache"]

KINDS: tuple[Kind, ...] = get_args(Kind)

DEFAULT_INTERVAL = 5
"""Of TaylorSeer: diffusers' TaylorSeerCacheConfig.cache_interval."""

# Where each was seen to skip and to give what diffusers' whole pipeline gives with it (tests/test_step_cache_identity.py).
_TRANSFORMERS: dict[Kind, frozenset[str]] = {
    "FirstBlock": frozenset({"FluxTransformer2DModel", "WanTransformer3DModel", "QwenImageTransformer2DModel"}),
    "TaylorSeer": frozenset({"FluxTransformer2DModel", "WanTransformer3DModel", "QwenImageTransformer2DModel"}),
    "MagCache": frozenset({"FluxTransformer2DModel"}),
}


@dataclass(frozen=True)
class StepCache:
    """A step cache and its settings, as a value.

    `threshold` is how much may change before FirstBlock and MagCache compute again, or None for diffusers' own; `interval` is how many
    steps lie between two that TaylorSeer computes.
    """

    kind: Kind
    threshold: float | None = None
    interval: int = DEFAULT_INTERVAL


def with_step_cache(component: Component, cache: StepCache | None) -> Component:
    """The handle with this cache, or with none, in place of any that it had. Raises UserError for a transformer that cannot use it."""
    if cache is not None and component.entry.class_name not in _TRANSFORMERS[cache.kind]:
        if component.entry.class_name not in _TRANSFORMERS["FirstBlock"]:
            raise UserError(f"The {component.label} takes no step cache: connect the transformer of FLUX.1, Wan or Qwen-Image.")
        raise UserError(
            f"{cache.kind} needs ratios that were measured on the model, and diffusers has those of FLUX.1 alone: for the "
            f"{component.label} choose FirstBlock or TaylorSeer."
        )
    return replace(component, step_cache=cache)
