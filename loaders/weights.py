"""From a component's files to the live object: a module with its weights, a tokenizer, a scheduler."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from .. import host
from ..errors import UserError, first_line
from ..host.environment import explain_import_error
from .as_stored import check_still_gguf
from .downloads import obtain
from .file_modules import build_module, build_of_transformers
from .file_tensors import read_tensors
from .file_tokenizers import load_tokenizer
from .lora_weights import apply_loras
from .placement import stream_blocks
from .precision import torch_dtype
from .prequantised import check_stored, read_onto_the_cpu
from .processors import has_torchvision, load_processor
from .quantise import cast_layerwise, convert_linear
from .sources import read_config
from .weight_files import BrokenFilesError, read_weight_files, variant_of

if TYPE_CHECKING:
    import torch

    from .component import Component
    from .precision import Precision
    from .sources import ComponentFolder


OPTIONAL_TENSORS = frozenset({"lm_head.weight"})
"""What a module may lack: the head that turns hidden states into words, which nobody needs who only encodes prompts."""


class LibraryError(UserError):
    """diffusers or transformers cannot offer the class that a component needs."""


def load_module(component: Component, place: ComponentFolder) -> torch.nn.Module:
    """Read a component's weights into a module of its class, in its precision, with its LoRAs, on the CPU and ready for inference.

    The weights stay backed by the mapped file where the stored dtype is the wanted one, so that reading costs next to no memory.
    Raises BrokenFilesError when files are damaged or do not fit the class, LibraryError when the class cannot be had, LoraError when a
    LoRA does not fit.
    """
    import torch

    entry = component.entry
    dtype = torch_dtype(component.precision, entry)
    cls = component_class(component)
    if place.file is None:
        read_weight_files(place)
    stored = check_config(component, place)
    options: dict[str, Any] = {
        _dtype_option(entry.library): dtype,
        "use_safetensors": True,
        "local_files_only": True,
        "output_loading_info": True,
        "variant": variant_of(place),
    }
    # Parameters made inside inference mode could not be changed in place outside it later; nodes run inside it.
    onto_the_cpu = read_onto_the_cpu(entry.library) if stored else nullcontext()
    with torch.inference_mode(False), torch.no_grad(), _without_bars(entry.library), onto_the_cpu:
        try:
            if place.file is None:
                module, report = cls.from_pretrained(place.folder, **options)
            elif entry.library == "diffusers":
                module, report = build_module(
                    cls, place.folder, read_tensors(place.file, dtype, as_stored=component.precision == "gguf"), dtype
                )
            else:
                module, report = build_of_transformers(cls, place, dtype, options)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BrokenFilesError(
                f"{place.label} does not load as a {entry.class_name} ({first_line(error)}): its config does not fit its weights. "
                "Download it again, or choose another source."
            ) from error
    _check_complete(component, place, report)
    assert isinstance(module, torch.nn.Module)
    with torch.inference_mode(False), torch.no_grad():
        if component.precision in ("int8", "nf4") and stored is None:
            convert_linear(module, component.precision, dtype, host.current().device())
        apply_loras(component, module)
        if component.precision == "fp8":
            # After the LoRAs: peft cannot put one onto weights of 8 bits.
            cast_layerwise(module, dtype)
        if component.placement == "offload_group":
            stream_blocks(module, component.resident_blocks, host.current().device())
    # Parameters keep requires_grad as the libraries set it: nodes run in inference mode, where it costs nothing, and torch's CPU
    # convolutions choose another kernel without it, which would part ways with the whole pipeline in the last bit.
    return module.eval()


def load_companion(component: Component) -> Any:
    """Read a component without weights: a tokenizer, a processor or a scheduler. A scheduler falls back to the bundled config."""
    cls = component_class(component)
    if hasattr(cls, "from_config"):
        return cls.from_config(read_config(component))
    place = obtain(component)
    try:
        if place.file is not None:
            return load_tokenizer(cls, place.file)
        if component.entry.socket == "PROCESSOR":
            return load_processor(cls, place.folder)
        return cls.from_pretrained(place.folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BrokenFilesError(
            f"{place.label} does not load as a {component.entry.class_name} ({first_line(error)}): download it again."
        ) from error


def component_class(component: Component) -> Any:
    """The diffusers or transformers class of a component. Raises LibraryError with the remedy when it cannot be imported."""
    entry = component.entry
    # Asked before the libraries look: a torchvision that does not match torch would fail their imports.
    has_torchvision()
    try:
        return getattr(importlib.import_module(entry.library), entry.class_name)
    except AttributeError as error:
        raise LibraryError(
            f"The installed {entry.library} has no {entry.class_name}, which the {component.label} needs: "
            f"update it with `pip install --upgrade {entry.library}`."
        ) from error
    except (ImportError, RuntimeError) as error:
        raise LibraryError(f"{entry.class_name} of {entry.library} cannot be imported. {explain_import_error(error)}") from error


def _dtype_option(library: str) -> str:
    """The name of the dtype argument of `from_pretrained`: diffusers renamed `torch_dtype` in 0.42 and warns of the old name since."""
    if library == "diffusers" and tuple(int(part) for part in version("diffusers").split(".")[:2]) < (0, 42):
        return "torch_dtype"
    return "dtype"


@contextmanager
def _without_bars(library: str) -> Iterator[None]:
    """Without the library's own progress bars, which count files rather than bytes and fill ComfyUI's log."""
    settings = importlib.import_module(f"{library}.utils.logging")
    shown = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            settings.enable_progress_bar()


def check_config(component: Component, place: ComponentFolder) -> Precision | None:
    """The precision in which the files hold the weights, where it is a quantised one.

    Refuses a folder whose config names another class (the libraries only warn, and load what happens to fit), and weights that are
    quantised in a way that cannot be used as asked.
    """
    config = read_config(component)
    named = config.get("_class_name") or next(iter(config.get("architectures") or []), None)
    if named is not None and named != component.entry.class_name:
        raise BrokenFilesError(
            f"{place.label} holds a {named}, not the {component.entry.class_name} that the {component.label} needs. Choose another source."
        )
    check_still_gguf(component, place)
    return check_stored(component, place, config, host.current().device().type)


def _check_complete(component: Component, place: ComponentFolder, report: dict[str, Any]) -> None:
    """Refuse a module with tensors that no file gave: the libraries fill them with random numbers and only warn."""
    missing = sorted(set(report["missing_keys"]) - OPTIONAL_TENSORS)
    mismatched = [entry[0] if isinstance(entry, tuple) else str(entry) for entry in report["mismatched_keys"]]
    if missing or mismatched:
        names = ", ".join((missing + mismatched)[:3])
        raise BrokenFilesError(
            f"{place.label} lacks {len(missing) + len(mismatched)} tensors of a {component.entry.class_name} ({names}, ...): "
            "its config does not fit its weights. Download it again, or choose another source."
        )
    unknown = sorted(report["unexpected_keys"])
    if place.file is not None and component.entry.library == "diffusers" and unknown:
        raise BrokenFilesError(
            f"{place.label} has {len(unknown)} tensors that a {component.entry.class_name} has not ({', '.join(unknown[:3])}, ...): it is "
            "another model or quantised in a way that this pack does not read. Choose another source."
        )
