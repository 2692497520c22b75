"""LoRAs as values on a transformer's handle: which there are, where their files lie, and the settings that a registry LoRA brings along.

Nothing here reads a weight; `lora_weights` puts a LoRA onto a loaded module.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .component import Component
from .folder_files import safetensors_files
from .registry import load_registry
from .weight_files import fingerprint

if TYPE_CHECKING:
    from .schema import Lora as RegistryLora

LORAS_KIND = "loras"
"""ComfyUI's model folder for LoRAs."""

PIPELINES = {
    "FluxTransformer2DModel": "FluxPipeline",
    "WanTransformer3DModel": "WanPipeline",
    "QwenImageTransformer2DModel": "QwenImagePipeline",
}
"""Class of a transformer -> the diffusers pipeline that knows the layouts of LoRA files for it."""


class LoraError(UserError):
    """A LoRA's file is not here, or does not fit the model it is meant for."""


@dataclass(frozen=True)
class Lora:
    """One LoRA on one transformer, as a value.

    `file` is the path below a `loras` model folder or, where `repository` is given, within that hub repository. `preset` is the name of
    the model's registry LoRA that it comes from, whose steps, guidance and schedule then hold.
    """

    file: str
    strength: float
    repository: str | None = None
    preset: str | None = None


@dataclass(frozen=True)
class LoraFile:
    """A LoRA's file, and what a user knows it as, without the machine's own path."""

    path: Path
    label: str


def lora_files() -> list[str]:
    """Paths of the safetensors files below the `loras` model folders, for a menu."""
    return sorted(safetensors_files(LORAS_KIND), key=str.lower)


def registry_loras() -> list[str]:
    """Names of the registry's LoRAs, each once, in file order. Which of them a model has, its own entry says."""
    names = (lora.name for model in load_registry().models.values() if model.availability == "open" for lora in model.loras)
    return list(dict.fromkeys(names))


def preset_of(model_id: str, name: str) -> RegistryLora:
    """A model's registry LoRA. Raises UserError with those that it has when there is none of that name."""
    model = load_registry().model(model_id)
    for lora in model.loras:
        if lora.name == name:
            return lora
    known = f"it has {', '.join(lora.name for lora in model.loras)}" if model.loras else "none is known for it"
    raise LoraError(f"There is no LoRA '{name}' for {model.name}: {known}. Choose one of these, or a file.")


def with_lora(component: Component, lora: Lora) -> Component:
    """The handle with one more LoRA; a strength of 0 adds none.

    Raises LoraError when the component takes no LoRA, and when two registry LoRAs would each bring their own number of steps.
    """
    if component.entry.class_name not in PIPELINES:
        raise LoraError(f"The {component.label} takes no LoRA: connect the transformer of FLUX.1, Wan or Qwen-Image.")
    if lora.strength == 0:
        return component
    other = next((known.preset for known in component.loras if known.preset and lora.preset), None)
    if other is not None:
        raise LoraError(f"'{other}' and '{lora.preset}' each bring their own number of steps: use one of them.")
    return replace(component, loras=(*component.loras, lora))


def settings_of(*components: Component) -> RegistryLora | None:
    """What the registry LoRA on these components was trained with, if there is one: steps, guidance, schedule."""
    for component in components:
        for lora in component.loras:
            if lora.preset is not None:
                return preset_of(component.model, lora.preset)
    return None


def schedule_changes(transformer: Component, scheduler: Component | None) -> dict[str, Any]:
    """Options in which the transformer's registry LoRA wants the model's own scheduler changed; another scheduler stays as it is."""
    settings = settings_of(transformer)
    own = transformer.model_entry.components.get("scheduler")
    return {} if settings is None or (scheduler is not None and scheduler.id != own) else dict(settings.scheduler)


def locate_lora(lora: Lora) -> LoraFile:
    """The file of a LoRA: in the `loras` folders (a registry LoRA's by its name alone), then in the hub cache.

    Raises LoraError with what to do when it is nowhere.
    """
    place = _find(lora)
    if place is None and lora.repository is None:
        raise LoraError(f"models/{LORAS_KIND} has no {lora.file}: put the safetensors file there, or choose another LoRA.")
    if place is None:
        raise LoraError(
            f"The LoRA {PurePosixPath(lora.file).name} is neither in models/{LORAS_KIND} nor in the hub cache. "
            f"To get it, run `hf download {lora.repository} {lora.file}`."
        )
    return place


def missing_loras(component: Component) -> list[Lora]:
    """The registry's LoRAs on a component that are nowhere here."""
    return [lora for lora in component.loras if lora.repository is not None and _find(lora) is None]


def check_loras(component: Component, *, downloads: bool = False) -> None:
    """Refuse what can be told without reading: a missing file, and a missing peft, without which diffusers loads no LoRA.

    With `downloads` those of the registry may be missing, since they are downloaded before they are used.
    """
    for lora in component.loras:
        if not (downloads and lora.repository):
            locate_lora(lora)
    if component.loras and importlib.util.find_spec("peft") is None:
        raise LoraError("LoRAs need the package peft, which is not installed: run `pip install peft` and start again.")


def loras_key(component: Component) -> tuple[object, ...]:
    """Changes with the LoRAs of a component: their files as they are now, their strengths, and their order."""
    places = [(locate_lora(lora).path.resolve(), lora.strength) for lora in component.loras]
    return tuple((path, fingerprint((path,)), strength) for path, strength in places)


def _find(lora: Lora) -> LoraFile | None:
    files = safetensors_files(LORAS_KIND)
    if lora.repository is None:
        return LoraFile(files[lora.file], f"models/{LORAS_KIND}/{lora.file}") if lora.file in files else None
    for name, path in files.items():
        if PurePosixPath(name).name == PurePosixPath(lora.file).name:
            return LoraFile(path, f"models/{LORAS_KIND}/{name}")
    cached = _cached(lora.repository, lora.file)
    return None if cached is None else LoraFile(cached, f"the hub cache's {lora.repository}/{lora.file}")


def _cached(repository: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, file)
    return Path(path) if isinstance(path, str) else None
