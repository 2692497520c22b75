"""LoRALoader: one more LoRA on a transformer's handle. Nothing is read before a node computes with it."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..loaders.component import Component
from ..loaders.downloads import allowed
from ..loaders.lora import Lora, check_loras, lora_files, preset_of, registry_loras, with_lora
from ..pipelines.handles import experts_of, with_experts
from ..pipelines.wan_model import WanTransformer
from .sockets import ANY_TRANSFORMER

NONE = "none"
MOST_STRENGTH = 100.0


class LoRALoader:
    """Puts a LoRA beside a transformer's weights, which stay as they are for everyone else."""

    CATEGORY = "Advanced Models"
    DESCRIPTION = (
        "Adds a LoRA to the transformer of FLUX, Wan or Qwen-Image; several nodes in a row stack. The model's own weights are not changed. "
        "LoRAs for few steps (lightx2v, Lightning, CausVid) bring their steps, guidance and schedule along where the sampler leaves "
        "them to the model."
    )
    SEARCH_ALIASES = ["lora", "load lora", "lora loader model only", "lightning", "lightx2v", "causvid", "4 steps"]
    RETURN_TYPES = (ANY_TRANSFORMER,)
    RETURN_NAMES = ("transformer",)
    OUTPUT_TOOLTIPS = ("The same transformer with the LoRA: to the denoise node, or to another LoRALoader.",)
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        files = lora_files()
        return {
            "required": {
                "transformer": (ANY_TRANSFORMER, {"tooltip": "From FluxLoader, WanLoader, QwenImageLoader or another LoRALoader."}),
                "lora": (
                    [NONE, *registry_loras(), *files],
                    {
                        "default": NONE,
                        "tooltip": "A file of models/loras, or a well-known LoRA of the model by its name, which is downloaded when it is "
                        "first used. For Wan 2.2 A14B a file is the high-noise one; a name brings both.",
                    },
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": -MOST_STRENGTH,
                        "max": MOST_STRENGTH,
                        "step": 0.05,
                        "tooltip": "How strongly it acts: 1 as trained, 0 not at all. For another strength on each expert of Wan 2.2 A14B, "
                        "use two nodes in a row.",
                    },
                ),
            },
            "optional": {
                "low_noise_lora": (
                    [NONE, *files],
                    {"default": NONE, "tooltip": "The low-noise file for Wan 2.2 A14B, which has two experts. none for every other model."},
                ),
            },
        }

    def add(
        self, transformer: Component | WanTransformer, lora: str = NONE, strength: float = 1.0, low_noise_lora: str = NONE
    ) -> tuple[Component | WanTransformer]:
        return (add_lora(transformer, lora, strength, low_noise_lora=low_noise_lora),)


def add_lora(
    transformer: Component | WanTransformer, lora: str, strength: float, *, low_noise_lora: str = NONE
) -> Component | WanTransformer:
    """The handle with the LoRA. `lora` is a file below a `loras` folder, the name of one of the model's registry LoRAs, or `NONE`.

    Raises UserError when the model has no such LoRA or no second expert, when a file is not here and not to be downloaded, and when peft
    is missing.
    """
    experts = experts_of(transformer)
    chosen = _chosen(experts["transformer"], lora, strength)
    if low_noise_lora != NONE:
        if "transformer_2" not in experts:
            raise UserError(f"{experts['transformer'].model_entry.name} has no low-noise expert: set low_noise_lora to '{NONE}'.")
        if "transformer_2" in chosen:
            raise UserError(f"'{lora}' brings a file for the low-noise expert itself: set low_noise_lora to '{NONE}'.")
        chosen["transformer_2"] = Lora(low_noise_lora, strength)
    changed = {role: with_lora(expert, chosen[role]) if role in chosen else expert for role, expert in experts.items()}
    for expert in changed.values():
        check_loras(expert, downloads=allowed())
    return with_experts(transformer, changed)


def _chosen(transformer: Component, lora: str, strength: float) -> dict[str, Lora]:
    """Role -> LoRA."""
    if lora == NONE:
        return {}
    if lora.endswith(".safetensors"):
        return {"transformer": Lora(lora, strength)}
    preset = preset_of(transformer.model, lora)
    return {role: Lora(file, strength, preset.repository, preset.name) for role, file in preset.files.items()}
