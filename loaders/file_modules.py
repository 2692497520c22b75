"""A module from the tensors of a single file, or of the two in which Qwen2.5-VL comes, loaded as `from_pretrained` loads a folder.

diffusers' own `from_single_file` guesses the wrong config for many of these files, ignores tensors that it does not know, and has no
converter for some of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .file_conversion import convert
from .file_tensors import read_tensors
from .gguf_layers import hold_stored
from .picture_halves import lacks_pictures
from .quantise import has_name, kept_in_fp32
from .weight_files import find_weight_files

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from .sources import ComponentFolder


def build_module(cls: Any, folder: Path, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> tuple[torch.nn.Module, dict[str, Any]]:
    """A module of a class of diffusers with the config in `folder`, and what `from_pretrained` reports of its tensors.

    Weights stay the mapped ones where they are stored in `dtype`, and quantised where `read_tensors` left them so. Raises RuntimeError for
    a tensor of another shape.
    """
    import torch
    from accelerate import init_empty_weights

    config = cls.load_config(folder, local_files_only=True)
    with init_empty_weights():
        module = cls.from_config(config)
    kept = kept_in_fp32(module)
    converted = convert(cls.__name__, tensors, config)
    held = hold_stored(module, converted, kept, dtype)
    # One after the other, so that a cast of the whole never stands beside what is cast.
    for name in list(converted):
        converted[name] = converted[name].to(torch.float32 if has_name(name, kept) else dtype)
    missing, unexpected = module.load_state_dict(converted, strict=False, assign=True)
    if not kept:
        # As from_pretrained: buffers too, unless parts keep another dtype. Of nn.Module, since diffusers' own `to` warns without a reason.
        torch.nn.Module.to(module, dtype)
    return module, {"missing_keys": set(missing) - held, "unexpected_keys": unexpected, "mismatched_keys": []}


def build_of_transformers(
    cls: Any, place: ComponentFolder, dtype: torch.dtype, options: dict[str, Any]
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The same for a class of transformers, whose `from_pretrained` is given `options`.

    Where only the language half of Qwen2.5-VL is there, the module's `visual` is None.
    """
    config = cls.config_class.from_pretrained(place.folder)
    language_alone = lacks_pictures(place)
    if language_alone:
        # Else the tower would be filled with random numbers, and a warning say so.
        config.vision_config.depth = 0
        cls = type(cls.__name__, (cls,), {"__module__": cls.__module__, "_keys_to_ignore_on_load_missing": [r"^model\.visual\."]})
    tensors = {name: tensor for path in find_weight_files(place) for name, tensor in read_tensors(path, dtype).items()}
    module, report = cls.from_pretrained(None, **options, config=config, state_dict=tensors)
    if language_alone:
        module.model.visual = None
    return module, report
