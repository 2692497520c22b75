"""What a run uses where nobody asks: the registry's number, and a sentence where it has none."""

from __future__ import annotations

import re

import pytest
from advanced_models.errors import UserError
from advanced_models.loaders.registry import load_registry
from advanced_models.pipelines.defaults import own_value


def test_the_registry_s_number_is_taken() -> None:
    assert own_value(load_registry().models["FLUX.1-Krea-dev"], "steps") == 28
    assert own_value(load_registry().models["Qwen-Image-Layered"], "layers") == 4


def test_an_entry_without_the_number_says_where_to_give_it() -> None:
    model = load_registry().models["FLUX.1-dev"]
    bare = model.model_copy(update={"defaults": model.defaults.model_copy(update={"steps": None})})
    with pytest.raises(UserError, match=re.escape("names no steps for FLUX.1 [dev]: give steps on the node")):
        own_value(bare, "steps")
