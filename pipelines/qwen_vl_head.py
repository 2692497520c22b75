"""Whether the files of a Qwen-VL hold what prompts are encoded without: the head that writes words, the half that reads pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..loaders.downloads import obtain
from ..loaders.file_headers import read_shapes
from ..loaders.picture_halves import check_pictures
from ..loaders.sources import read_config
from ..loaders.weight_files import find_weight_files

if TYPE_CHECKING:
    from ..loaders.component import Component


def require_head(model: Component) -> None:
    """Refuse a model that cannot write, before it is loaded."""
    config = read_config(model)
    tied = config.get("tie_word_embeddings", False) or config.get("text_config", {}).get("tie_word_embeddings", False)
    if tied:
        return
    place = obtain(model)
    if not any(name.endswith("lm_head.weight") for path in find_weight_files(place) for name in read_shapes(path)):
        raise UserError(
            f"{place.label} lacks the language head (lm_head): it can encode prompts, and it cannot write. "
            "Load the chat model itself with QwenVLLoader."
        )


def require_pictures(model: Component) -> None:
    """Refuse a model that cannot read pictures, before it is loaded."""
    check_pictures(obtain(model))
