"""Step caches on whole pipelines and through the node, and how often a transformer's blocks run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import pytest
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS

needs_mag_cache = pytest.mark.skipif(not hasattr(diffusers, "MagCacheConfig"), reason="the installed diffusers has no MagCache")


def enable_cache(pipeline: Any, cache: Any) -> None:
    """Put a step cache of diffusers onto every transformer of a pipeline, by hand. None puts on none."""
    for name in ("transformer", "transformer_2"):
        transformer = getattr(pipeline, name, None)
        if cache is not None and transformer is not None:
            transformer.enable_cache(cache)


def with_cache(transformer: Any, kind: str, **settings: Any) -> Any:
    """The handle after StepCache."""
    return NODE_CLASS_MAPPINGS["StepCache"]().set(transformer, kind, **settings)[0]


@contextmanager
def attention_runs(transformer: Any) -> Iterator[list[int]]:
    """How often the last block of each network of a handle computes its attention."""
    components = getattr(transformer, "components", (transformer,))
    counts = [0] * len(components)
    with STORE.use(*components) as modules:
        hooks = []
        for index, module in enumerate(modules):
            # Caches replace the forward of a block or of its attention, so what is counted lies within.
            layers = [layer for path, layer in module.named_modules() if path.endswith(".to_q")]

            def count(*_: Any, index: int = index) -> None:
                counts[index] += 1

            hooks.append(layers[-1].register_forward_hook(count))
        try:
            yield counts
        finally:
            for hook in hooks:
                hook.remove()
