"""Whether the files of a Qwen-VL hold the head that writes words; a text encoder works without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..loaders.downloads import obtain
from ..loaders.sources import read_config
from ..loaders.weight_files import read_weight_files

if TYPE_CHECKING:
    from ..loaders.component import Component


def require_head(model: Component) -> None:
    """Refuse a model that cannot write, before it is loaded."""
    config = read_config(model)
    tied = config.get("tie_word_embeddings", False) or config.get("text_config", {}).get("tie_word_embeddings", False)
    if tied:
        return
    place = obtain(model)
    if not any(name.endswith("lm_head.weight") for name in read_weight_files(place).tensors):
        raise UserError(
            f"{place.label} lacks the language head (lm_head): it can encode prompts, and it cannot write. "
            "Load the chat model itself with QwenVLLoader."
        )
