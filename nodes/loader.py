"""What all loaders do beside handing out handles: their result says what these cost and what the registry warns of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Loader:
    """A node that names parts of models. Its result carries, for the page and the API, a line each on what they cost and what to mind."""

    FUNCTION = "load"

    select: Callable[..., tuple[Any, ...]]
    """Gives the node's outputs for its inputs."""

    def load(self, **inputs: Any) -> dict[str, Any]:
        from ..memory.cost import in_words

        values = self.select(**inputs)
        return {"ui": {"notices": in_words(values)}, "result": values}
