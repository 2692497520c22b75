"""Building full-size classes without memory, and simulating one stage of one of them."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from .counting import count_parameters
from .estimate_features import LANGUAGE_MODELS
from .estimate_values import Stage, Workload
from .simulate import Attention, Simulation, simulate
from .simulate_inputs import forward
from .simulate_schemes import COMPUTE, Scheme, apply_scheme
from .weights import ParameterCounts

CONFIGS = Path(__file__).parent.parent / "loaders" / "configs"

# The peak lies within one block, so two of each kind stand for all. Tests compare them with deeper ones.
_BLOCKS = {
    "FluxTransformer2DModel": ("num_layers", "num_single_layers"),
    "Flux2Transformer2DModel": ("num_layers", "num_single_layers"),
    "WanTransformer3DModel": ("num_layers",),
    "QwenImageTransformer2DModel": ("num_layers",),
    "ZImageTransformer2DModel": ("n_layers",),
    "T5EncoderModel": ("num_layers",),
    "UMT5EncoderModel": ("num_layers",),
    "CLIPTextModel": ("num_hidden_layers",),
    "CLIPTextModelWithProjection": ("num_hidden_layers",),
}
KEPT_BLOCKS = 2


@dataclass(frozen=True)
class ModelSpec:
    """A class of diffusers or transformers and its config."""

    class_name: str
    config: Mapping[str, Any]

    @classmethod
    def of_component(cls, component_id: str, class_name: str) -> ModelSpec:
        """The bundled config of a registry component. Raises UserError when there is none."""
        path = CONFIGS / component_id / "config.json"
        if not path.is_file():
            raise UserError(f"There is no bundled config for {component_id}, so it cannot be built. Give class and config instead.")
        return cls(class_name, json.loads(path.read_text(encoding="utf-8")))

    @property
    def is_language_model(self) -> bool:
        return self.class_name in LANGUAGE_MODELS

    def text_config(self) -> Mapping[str, Any]:
        """The part of the config that describes the language model."""
        inner = self.config.get("text_config")
        return inner if isinstance(inner, Mapping) else self.config

    def shallow(self, blocks: int = KEPT_BLOCKS) -> ModelSpec:
        """The same model with few blocks of each kind: the same peak."""
        config = {**self.config}
        for name in _BLOCKS.get(self.class_name, ()):
            config[name] = blocks
        if self.is_language_model:
            text = {**self.text_config(), "num_hidden_layers": blocks}
            if "layer_types" in text:
                text["layer_types"] = list(text["layer_types"])[:blocks]
            config = {**config, "text_config": text} if "text_config" in config else text
            if "vision_config" in config:
                config["vision_config"] = {**config["vision_config"], "depth": 1, "num_hidden_layers": 1}
        return ModelSpec(self.class_name, config)

    def build(self, device: str = "meta") -> Any:
        """The module in float32, with random weights where the device is a real one.

        Raises:
            UserError: the installed libraries have no such class, or it does not take this config.
        """
        for library in ("diffusers", "transformers"):
            kind = getattr(importlib.import_module(library), self.class_name, None)
            if kind is None:
                continue
            if library == "diffusers":
                unknown = [name for name in self.config if not name.startswith("_") and name not in inspect.signature(kind).parameters]
                if unknown:
                    raise UserError(
                        f"{self.class_name} has no option '{unknown[0]}' in the installed diffusers. Update it, or leave it out."
                    )
            try:
                with torch.device(device):
                    made = (
                        kind.from_config(dict(self.config))
                        if library == "diffusers"
                        else kind(kind.config_class.from_dict(dict(self.config)))
                    )
            except (TypeError, ValueError, AttributeError, KeyError) as error:
                raise UserError(
                    f"{self.class_name} cannot be built from this config ({error}). Give the model's own config.json."
                ) from error
            return made.eval().requires_grad_(False)
        raise UserError(f"The installed diffusers and transformers have no class {self.class_name}. Check the name, or update them.")

    def counts(self) -> ParameterCounts:
        """What each precision does with the parameters (see `memory.weights`)."""
        return count_parameters(self.build())


def kv_width(text: Mapping[str, Any]) -> int:
    """Elements of one token's keys (as many as of its values) in one block of a language model."""
    width = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    return int(text.get("num_key_value_heads", text["num_attention_heads"]) * width)


def tensor_sizes(module: torch.nn.Module) -> list[int]:
    """Bytes of each tensor that a module holds, in the order of its modules."""
    tensors = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return [size for tensor in tensors.values() if (size := tensor.numel() * tensor.element_size())]


def prepared(spec: ModelSpec, scheme: Scheme) -> Any:
    """The module as a precision holds it."""
    module = spec.build()
    return apply_scheme(module, scheme)


def simulate_stage(
    spec: ModelSpec,
    stage: Stage,
    workload: Workload,
    *,
    scheme: Scheme = "half",
    attention: Attention = "fused",
    fused_rms_norm: bool = True,
    tile: int | None = None,
    blocks: int = KEPT_BLOCKS,
    module: Any = None,
) -> Simulation:
    """What one call of one class allocates. `tile` turns a VAE's tiling on, with tiles of so many pixels (0: its own size).

    A module that is given is used instead of building one; it has to be `prepared(spec.shallow(blocks), scheme)`.

    Raises:
        UserError: the class cannot be built, or it is not known how it is called.
    """
    module = prepared(spec.shallow(blocks), scheme) if module is None else module
    if tile is not None:
        set_tiles(module, tile)
    call = forward(module, spec.class_name, stage, workload, torch.float32 if scheme == "fp32" else COMPUTE)
    try:
        simulation = simulate(module, call, attention=attention, fused_rms_norm=fused_rms_norm)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise UserError(
            f"A {spec.class_name} cannot be simulated at this size with the installed libraries ({str(error).splitlines()[0]}). "
            "Try a usual size, or newer libraries."
        ) from error
    if spec.is_language_model:
        # Hidden states, keys and values of every block are kept to the end: those of the blocks that were left out are added.
        text = spec.text_config()
        per_token = (text["hidden_size"] + 2 * kv_width(text)) * (4 if scheme == "fp32" else 2)
        kept = (text["num_hidden_layers"] - blocks) * workload.batch * workload.text_tokens * per_token
        simulation.levels = [level + kept for level in simulation.levels]
        if kept:
            simulation.events.insert(0, (-2, kept))
    return simulation


def set_tiles(vae: Any, size: int = 0) -> None:
    """Turn a VAE's tiling on; with a size, tiles of so many pixels that overlap by a quarter."""
    if not size:
        vae.enable_tiling()
    elif hasattr(vae, "tile_sample_min_size"):
        vae.enable_tiling()
        vae.tile_sample_min_size = size
        vae.tile_latent_min_size = size // 2 ** (len(vae.config.block_out_channels) - 1)
    else:
        stride = size * 3 // 4
        vae.enable_tiling(
            tile_sample_min_height=size, tile_sample_min_width=size, tile_sample_stride_height=stride, tile_sample_stride_width=stride
        )
