"""StepCache: a transformer's handle that skips work between steps. Nothing is read before a node computes with it."""

from __future__ import annotations

from typing import Any

from ..loaders.component import Component
from ..loaders.step_cache import DEFAULT_INTERVAL, KINDS, Kind, with_step_cache
from ..loaders.step_cache import StepCache as Cache
from ..pipelines.handles import experts_of, with_experts
from ..pipelines.wan_model import WanTransformer
from .sockets import ANY_TRANSFORMER

OWN_THRESHOLD = -1.0


class StepCache:
    """Lets a transformer reuse in some steps what it computed in earlier ones."""

    CATEGORY = "Advanced Models"
    DESCRIPTION = (
        "Saves time by skipping most of the transformer in steps that would change little, at the price of a somewhat different picture. "
        "For FLUX, Wan (both experts of A14B) and Qwen-Image. Worth it for 20 steps and more; models and LoRAs made for a few steps have "
        "nothing to skip."
    )
    SEARCH_ALIASES = ["step cache", "first block cache", "fbcache", "wavespeed", "teacache", "taylorseer", "magcache", "speed up"]
    RETURN_TYPES = (ANY_TRANSFORMER,)
    RETURN_NAMES = ("transformer",)
    OUTPUT_TOOLTIPS = (
        "The same transformer with the cache: to the denoise node, or to LoRALoader. Of two caches in a row the last counts.",
    )
    FUNCTION = "set"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "transformer": (ANY_TRANSFORMER, {"tooltip": "From FluxLoader, WanLoader, QwenImageLoader or LoRALoader."}),
                "kind": (
                    list(KINDS),
                    {
                        "default": KINDS[0],
                        "tooltip": "FirstBlock computes the first block of every step, and the others only when its result has changed "
                        "enough. TaylorSeer computes every few steps and extends the trend in between. MagCache follows a measured "
                        "schedule; for FLUX without a start picture.",
                    },
                ),
                "threshold": (
                    "FLOAT",
                    {
                        "default": OWN_THRESHOLD,
                        "min": OWN_THRESHOLD,
                        "max": 10.0,
                        "step": 0.01,
                        "tooltip": "Of FirstBlock and MagCache: the change from which on a step is computed. Higher skips more and differs "
                        "more. -1 is diffusers' own (0.05 and 0.06), 0 turns the cache off.",
                    },
                ),
                "interval": (
                    "INT",
                    {
                        "default": DEFAULT_INTERVAL,
                        "min": 1,
                        "max": 100,
                        "tooltip": "Of TaylorSeer: one step in this many is computed, after the first three. 1 turns the cache off.",
                    },
                ),
            },
        }

    def set(
        self,
        transformer: Component | WanTransformer,
        kind: Kind = KINDS[0],
        threshold: float = OWN_THRESHOLD,
        interval: int = DEFAULT_INTERVAL,
    ) -> tuple[Component | WanTransformer]:
        off = interval == 1 if kind == "TaylorSeer" else threshold == 0
        cache = None if off else Cache(kind, None if threshold == OWN_THRESHOLD else threshold, interval)
        experts = experts_of(transformer)
        return (with_experts(transformer, {role: with_step_cache(expert, cache) for role, expert in experts.items()}),)
