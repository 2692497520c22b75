"""Processors of vision-language models, also where torchvision is missing: it is needed for video alone."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any


@cache
def has_torchvision() -> bool:
    """Whether torchvision can be used. One that was built for another torch cannot even be imported."""
    if importlib.util.find_spec("torchvision") is None:
        return False
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError, AttributeError):
        # transformers takes an installed torchvision for a working one. Where it is hidden, transformers does without.
        _hide("torchvision")
        return False
    return True


def load_processor(cls: Any, folder: Path) -> Any:
    """Read a processor of the class `cls`; without torchvision, one for pictures alone (`video_processor` is None then).

    Raises what transformers raises when the files are missing or damaged.
    """
    from transformers import AutoImageProcessor, AutoTokenizer, ProcessorMixin

    if has_torchvision() or not issubclass(cls, ProcessorMixin):
        return cls.from_pretrained(folder, local_files_only=True)

    return pictures_only(cls)(
        AutoImageProcessor.from_pretrained(folder, local_files_only=True),
        AutoTokenizer.from_pretrained(folder, local_files_only=True),
        chat_template=_chat_template(folder),
    )


def pictures_only(cls: Any) -> Any:
    """The processor class `cls` without its video processor, which only torchvision can make.

    transformers counts the parts of a processor by the arguments of its constructor (5) or by `attributes` (4.57), and demands them.
    """
    from transformers import ProcessorMixin

    parts = ["image_processor", "tokenizer"]

    def __init__(self: Any, image_processor: Any, tokenizer: Any, chat_template: str | None = None) -> None:  # noqa: N807
        for kind in ("image", "video", "vision_start", "vision_end"):
            token = f"<|{kind}_pad|>" if kind in ("image", "video") else f"<|{kind}|>"
            setattr(self, f"{kind}_token", token)
            setattr(self, f"{kind}_token_id", tokenizer.convert_tokens_to_ids(token))
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template or tokenizer.chat_template)
        self.video_processor = None

    members = {"__init__": __init__, "attributes": parts, "get_attributes": classmethod(lambda _: parts)}
    return type(cls.__name__, (cls,), members)


def _chat_template(folder: Path) -> str | None:
    """The template beside the processor, in either of the shapes in which repositories have it."""
    plain, wrapped = folder / "chat_template.jinja", folder / "chat_template.json"
    if plain.is_file():
        return plain.read_text(encoding="utf-8")
    if wrapped.is_file():
        template = json.loads(wrapped.read_text(encoding="utf-8"))["chat_template"]
        assert isinstance(template, str)
        return template
    return None


def _hide(package: str) -> None:
    """Make an unusable package look absent, to `import` and to transformers' own checks."""
    sys.modules[package] = None  # type: ignore[assignment]
    utils = sys.modules.get("transformers.utils.import_utils")
    if utils is None:
        return
    if hasattr(utils, f"_{package}_available"):  # transformers 4.57 looks once
        setattr(utils, f"_{package}_available", False)
    for name in (f"is_{package}_available", f"is_{package}_v2_available"):  # transformers 5 remembers the answer
        forget = getattr(getattr(utils, name, None), "cache_clear", None)
        if forget is not None:
            forget()
