"""Image tokens stand in rows and columns; some callers forget to tell the model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def image_positions(module: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model places image tokens in rows and columns, whoever calls it.

    transformers 5 computes these 3-D positions from `mm_token_type_ids` (0 text, 1 image, 2 video), which diffusers' Qwen-Image
    pipelines do not pass up to 0.42 (diffusers issue 14194): the tokens of a picture then count as one long line of text.
    """
    if "mm_token_type_ids" not in inspect.signature(module.forward).parameters:
        yield
        return

    def add_token_types(model: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        has_pictures = inputs.get("pixel_values") is not None or inputs.get("pixel_values_videos") is not None
        if has_pictures and inputs.get("mm_token_type_ids") is None and inputs.get("input_ids") is not None:
            ids = inputs["input_ids"]
            types = (ids == model.config.image_token_id).int() + 2 * (ids == model.config.video_token_id).int()
            inputs = inputs | {"mm_token_type_ids": types}
        return args, inputs

    hook = module.register_forward_pre_hook(add_token_types, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
