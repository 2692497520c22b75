"""The kinds of Qwen-Image models: how each one reads the prompt, and at which sizes it reads pictures."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..loaders.schema import Model

RESOLUTIONS = (640, 1024)
"""Sides of the square whose area a layered picture may have (QwenImageLayeredPipeline.__call__)."""


@dataclass(frozen=True)
class Kind:
    """A kind of model by the diffusers pipeline that runs it."""

    name: str
    pipeline: str
    most_pictures: int
    """Pictures that go with a prompt; none for the kind that paints from text alone."""


TEXT_TO_IMAGE = Kind("text to image", "QwenImagePipeline", 0)
EDIT = Kind("edit", "QwenImageEditPipeline", 1)
EDIT_PLUS = Kind("edit plus", "QwenImageEditPlusPipeline", 3)
LAYERS = Kind("layers", "QwenImageLayeredPipeline", 1)

KINDS = {kind.name: kind for kind in (TEXT_TO_IMAGE, EDIT, EDIT_PLUS, LAYERS)}


def kind_of(model: Model) -> Kind | None:
    """The kind that the registry's pipelines of a model say, or None for a model that paints nothing (a chat model)."""
    names = set(model.pipelines.values())
    return next((kind for kind in KINDS.values() if kind.pipeline in names), None)


def pipeline_class(kind: Kind) -> Any:
    """The diffusers class. Raises UserError where the installed diffusers does not have it."""
    import diffusers

    found = getattr(diffusers, kind.pipeline, None)
    if found is None:
        raise UserError(
            f"The installed diffusers {diffusers.__version__} has no {kind.pipeline}: update it with `pip install --upgrade diffusers`."
        )
    return found


def size_for_latents(kind: Kind, width: int, height: int, resolution: int) -> tuple[int, int]:
    """Width and height at which the kind's VAE reads a picture of this size."""
    module = sys.modules[pipeline_class(kind).__module__]
    area = resolution**2 if kind is LAYERS else getattr(module, "VAE_IMAGE_SIZE", 1024 * 1024)
    return _dimensions(kind, area, width / height)


def size_for_prompt(kind: Kind, width: int, height: int, resolution: int) -> tuple[int, int]:
    """Width and height at which the text encoder sees a picture of this size."""
    if kind is EDIT_PLUS:
        module = sys.modules[pipeline_class(kind).__module__]
        return _dimensions(kind, module.CONDITION_IMAGE_SIZE, width / height)
    return size_for_latents(kind, width, height, resolution)


def proportions(kind: Kind, width: int, height: int) -> tuple[float, int]:
    """A ratio (and, of a layered picture, the resolution) from which the pipeline computes exactly this size for the latents.

    The pipelines take a picture and compute the latents' size from its proportions, so the size of encoded latents has to be led
    back to proportions. Raises UserError for a size to which none lead.
    """
    module = sys.modules[pipeline_class(kind).__module__]
    areas = [side**2 for side in RESOLUTIONS] if kind is LAYERS else [getattr(module, "VAE_IMAGE_SIZE", 1024 * 1024)]
    for area in areas:
        low, high = math.log(1 / 64), math.log(64)
        for _ in range(64):
            middle = (low + high) / 2
            across, down = _dimensions(kind, area, math.exp(middle))
            if (across, down) == (width, height):
                return math.exp(middle), math.isqrt(area)
            # The width grows with the ratio and the height shrinks.
            if across < width or down > height:
                low = middle
            else:
                high = middle
    raise UserError(
        f"The reference picture was encoded at {width}x{height}, a size that {kind.pipeline} cannot take: "
        "connect the picture and the VAE to QwenImagePromptEncode, which chooses the size."
    )


def _dimensions(kind: Kind, area: int, ratio: float) -> tuple[int, int]:
    width, height, *_ = sys.modules[pipeline_class(kind).__module__].calculate_dimensions(area, ratio)
    return width, height
