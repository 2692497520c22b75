"""LoRA files onto a loaded transformer, beside its own weights: never fused, so that nothing of the base is changed."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .lora import PIPELINES, LoraError, check_loras, locate_lora

if TYPE_CHECKING:
    import torch

    from .component import Component
    from .lora import LoraFile

log = logging.getLogger(__name__)

_PREFIX = "transformer."
# What writers put before the names of diffusers' own layout: diffusers' pipelines, peft, ComfyUI, and a bare transformer's nothing.
_PEFT = "base_model.model."
_PREFIXES = (_PREFIX, _PEFT, "diffusion_model.")
# The key of diffusers' own metadata (diffusers, loaders/lora_base.py, LORA_ADAPTER_METADATA_KEY).
_SETTINGS = "lora_adapter_metadata"
_OTHER_PARTS = ("text_encoder.", "text_encoder_2.", "lora_te")
_A, _B, _BIAS = ".lora_A.weight", ".lora_B.weight", ".lora_B.bias"


@dataclass
class _Weights:
    """A LoRA as `load_lora_adapter` takes it, every name beginning with `transformer.`."""

    tensors: dict[str, torch.Tensor]
    alphas: dict[str, Any] | None
    metadata: dict[str, Any] | None


def apply_loras(component: Component, module: Any) -> None:
    """Put the LoRAs of a component onto its module, each at its strength.

    Raises LoraError when a file is damaged, is no LoRA in a known layout, or does not fit the module as a whole.
    """
    if not component.loras:
        return
    check_loras(component)
    names = []
    for index, lora in enumerate(component.loras):
        place = locate_lora(lora)
        weights = _read(component, place)
        _check_fit(component, place, weights, module)
        names.append(f"lora_{index}")
        _put_on(component, place, module, names[-1], weights)
        _check_loaded(component, place, module, names[-1], weights)
        log.info("put %s on the %s at strength %g", place.label, component.label, lora.strength)
    module.set_adapters(names, [lora.strength for lora in component.loras])


def _put_on(component: Component, place: LoraFile, module: Any, adapter: str, weights: _Weights) -> None:
    """Raises LoraError when peft does not take the file's settings."""
    with warnings.catch_warnings():
        # That there are several adapters is meant.
        warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
        try:
            module.load_lora_adapter(
                weights.tensors,
                adapter_name=adapter,
                network_alphas=weights.alphas,
                metadata=weights.metadata,
                low_cpu_mem_usage=True,
            )
        except (ValueError, TypeError, LookupError, RuntimeError) as error:
            raise LoraError(
                f"{place.label} could not be put onto the {component.label}: its settings or its layout are not known to this "
                "peft. Update it with `pip install --upgrade peft`, or choose another file."
            ) from error


def _read(component: Component, place: LoraFile) -> _Weights:
    """A file in whichever layout diffusers' converters know (its own, kohya's, ComfyUI's), under diffusers' names."""
    import diffusers

    pipeline = PIPELINES[component.entry.class_name]
    stored, metadata = _load(place)
    if any("dora_scale" in name or "lora_magnitude_vector" in name for name in stored):
        raise LoraError(f"{place.label} is a DoRA, whose scales diffusers leaves out: use the LoRA of the same training, or another file.")
    options = {"return_alphas": True} if pipeline == "FluxPipeline" else {}
    try:
        result = getattr(diffusers, pipeline).lora_state_dict(
            _for_converter(pipeline, stored), return_lora_metadata=True, local_files_only=True, **options
        )
    except (ValueError, LookupError, AttributeError, AssertionError, RuntimeError) as error:
        # What the converters end in when a name that they count on is not there.
        raise LoraError(
            f"{place.label} fits nothing of the {component.label}: none of its {len(stored)} tensors can be read as a LoRA for it. "
            "It was made for another model, or in a layout that diffusers does not know: choose another file."
        ) from error
    tensors, alphas = result[0], result[1] if options else None
    return _Weights(
        _with_biases({_canonical(name): tensor for name, tensor in tensors.items()}),
        {_canonical(name): alpha for name, alpha in alphas.items()} if alphas else None,
        {_canonical(name): value for name, value in metadata.items()} if metadata else None,
    )


def _load(place: LoraFile) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
    """The tensors of a file as they are stored, and the settings of peft that diffusers keeps in its metadata."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(place.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a handle, not a mapping
            settings = json.loads((file.metadata() or {}).get(_SETTINGS, "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise LoraError(f"{place.label} is damaged or was not downloaded to its end: download it again.") from error
    lost = [name for name, tensor in tensors.items() if name.endswith(".diff") and bool(tensor.any())]
    if lost:
        log.warning("%s also changes %d weights directly (%s, ...), which may be left out", place.label, len(lost), lost[0])
    return tensors, settings if isinstance(settings, dict) else None


def _for_converter(pipeline: str, stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names as the converter knows them. FLUX's takes BFL's layers under peft's names for kohya's, and everything of peft for BFL's."""
    if pipeline != "FluxPipeline":
        return dict(stored)
    own_names = any("double_blocks." in name or "single_blocks." in name for name in stored)
    if own_names and any(name.startswith("diffusion_model.") for name in stored):
        return {name.replace(".lora_A.", ".lora_down.").replace(".lora_B.", ".lora_up."): tensor for name, tensor in stored.items()}
    if not own_names:
        return {_PREFIX + name.removeprefix(_PEFT) if name.startswith(_PEFT) else name: tensor for name, tensor in stored.items()}
    return dict(stored)


def _with_biases(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With a bias of zero wherever only other layers have one: peft gives all a bias or none, and leaves the missing ones empty."""
    if not any(name.endswith(_BIAS) for name in tensors):
        return tensors
    ups = {name.removesuffix(_B): tensor for name, tensor in tensors.items() if name.endswith(_B)}
    return {f"{layer}{_BIAS}": up.new_zeros(up.shape[0]) for layer, up in ups.items()} | tensors


def _canonical(name: str) -> str:
    if name.startswith(_OTHER_PARTS):
        return name
    return _PREFIX + next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def _check_fit(component: Component, place: LoraFile, weights: _Weights, module: Any) -> None:
    """Refuse a file of which anything has no place in the module: diffusers would leave that out, or all of it, without a word."""
    left_out = [name for name in weights.tensors if name.startswith(_OTHER_PARTS)]
    if left_out:
        log.warning("%s also holds %d tensors for text encoders, which are left out", place.label, len(left_out))
        for name in left_out:
            del weights.tensors[name]
    linear = {name: layer for name, layer in module.named_modules() if hasattr(layer, "weight")}
    fitting = [name for name in weights.tensors if _fits(name.removeprefix(_PREFIX), weights.tensors, linear)]
    if len(fitting) < len(weights.tensors) or not fitting:
        odd = next((name.removeprefix(_PREFIX) for name in weights.tensors if name not in fitting), "no LoRA at all")
        raise LoraError(
            f"{place.label} does not fit the {component.label}: {len(fitting)} of its {len(weights.tensors)} tensors match "
            f"({odd} does not). Choose a LoRA that was made for this model."
        )


def _fits(name: str, tensors: dict[str, torch.Tensor], layers: dict[str, Any]) -> bool:
    """Whether a tensor is one of a pair for a layer of its size."""
    suffix = next((suffix for suffix in (_A, _B, _BIAS) if name.endswith(suffix)), None)
    if suffix is None:
        return False
    path = name.removesuffix(suffix)
    layer = layers.get(path)
    down, up = (tensors.get(f"{_PREFIX}{path}{part}") for part in (_A, _B))
    if layer is None or down is None or up is None:
        return False
    fits = (down.shape[1], up.shape[0]) == _inputs_and_outputs(layer) and down.shape[0] == up.shape[1]
    return fits and (suffix != _BIAS or tensors[_PREFIX + name].shape == (up.shape[0],))


def _inputs_and_outputs(layer: Any) -> tuple[int, int]:
    """Of a linear layer as it says itself: weights of 4 bits are packed into another shape."""
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    return (layer.weight.shape[1] if layer.weight.ndim > 1 else 0, layer.weight.shape[0])


def _check_loaded(component: Component, place: LoraFile, module: Any, adapter: str, weights: _Weights) -> None:
    """Refuse when diffusers has not put every pair, and nothing else, into the module."""
    wanted = {name.removeprefix(_PREFIX).removesuffix(_A) for name in weights.tensors if name.endswith(_A)}
    layers = {name: layer for name, layer in module.named_modules() if adapter in getattr(layer, "lora_A", ())}
    empty = [name for name, layer in layers.items() for tensor in layer.parameters() if tensor.is_meta]
    if wanted != set(layers) or empty:
        raise LoraError(
            f"{place.label} could not be put onto the {component.label} as a whole: {len(wanted & set(layers)) - len(set(empty))} of its "
            f"{len(wanted)} layers were filled. Choose another file of this LoRA."
        )
