"""TextEncoderPicker: one text encoder by role, from another source, in another precision or on another device than its model's."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..loaders.component import AUTO_SOURCE, DEVICES, Component, role_of_socket, select_component
from ..loaders.registry import load_registry
from ..loaders.schema import Model
from ..loaders.sources import MissingFilesError, locate
from ..loaders.weight_files import BrokenFilesError, find_weight_files
from . import inputs
from .loader import Loader
from .refusal import refusal
from .sockets import CLIP_G, CLIP_L, MISTRAL_3, QWEN_3, QWEN_VL, T5_XXL, UMT5_XXL

ROLES: dict[str, tuple[str, str]] = {
    "FLUX.1: T5-XXL": ("flux", T5_XXL),
    "FLUX.1: CLIP-L": ("flux", CLIP_L),
    "Wan: UMT5-XXL": ("wan", UMT5_XXL),
    "Qwen-Image: Qwen2.5-VL": ("qwen_image", QWEN_VL),
    "SDXL: CLIP-L": ("sdxl", CLIP_L),
    "SDXL: CLIP-G": ("sdxl", CLIP_G),
    "FLUX.2: Mistral 3": ("flux2", MISTRAL_3),
    "FLUX.2: Qwen3": ("flux2", QWEN_3),
    "Z-Image: Qwen3": ("z_image", QWEN_3),
}
"""Label -> architecture and socket."""

ANY_ENCODER = ",".join(dict.fromkeys(socket for _, socket in ROLES.values()))
"""A type that may be wired to any of these sockets and to no other; what was picked is checked again where it is used."""

AUTO_ENCODER = "auto"


class TextEncoderPicker(Loader):
    """Names one text encoder; nothing is read before a node computes with it."""

    CATEGORY = "Advanced Models/Text encoders"
    DESCRIPTION = (
        "Chooses one text encoder on its own: from another source, in another precision, or kept on the CPU so that the card is free for "
        "the picture. Its output takes the place of a loader's, and equal choices share one loaded encoder."
    )
    SEARCH_ALIASES = ["clip loader", "dual clip loader", "load clip", "text encoder", "t5", "umt5", "cpu text encoder"]
    RETURN_TYPES = (ANY_ENCODER,)
    RETURN_NAMES = ("text_encoder",)
    OUTPUT_TOOLTIPS = ("The encoder, to the prompt node of its architecture, in place of the loader's.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "role": (
                    list(ROLES),
                    {
                        "default": next(iter(ROLES)),
                        # For the page, which gives the output this type.
                        "sockets": {role: socket for role, (_, socket) in ROLES.items()},
                        "tooltip": "Which architecture's prompt it encodes. T5-XXL and UMT5-XXL are not interchangeable, nor are Qwen3 and "
                        "Qwen2.5-VL.",
                    },
                ),
                "encoder": (
                    [AUTO_ENCODER, *_all_encoders()],
                    {
                        "default": AUTO_ENCODER,
                        "tooltip": "Which of the encoders of that role. auto is the one that the original models have.",
                    },
                ),
                "precision": inputs.precision("auto is what the encoder was made for."),
                "device": (
                    list(DEVICES),
                    {
                        "default": "auto",
                        "tooltip": "auto computes on the card. cpu takes none of its memory; a prompt takes longer then, once: "
                        "encoded prompts are kept.",
                    },
                ),
            },
            "optional": {
                "source": inputs.source(),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, role: str | None = None, encoder: str | None = None) -> bool | str:
        """Linked inputs arrive as None."""
        return refusal(lambda: None if role is None or encoder is None else check_choice(role, encoder))

    def select(
        self, role: str, encoder: str = AUTO_ENCODER, precision: Any = "auto", device: Any = "auto", source: str = AUTO_SOURCE
    ) -> tuple[Component]:
        return (pick_encoder(role, encoder, precision=precision, device=device, source=source),)


def pick_encoder(
    role: str, encoder: str = AUTO_ENCODER, *, precision: Any = "auto", device: Any = "auto", source: str = AUTO_SOURCE
) -> Component:
    """The handle. Raises UserError for an encoder of another role, and for a source that does not hold it."""
    check_choice(role, encoder)
    socket = ROLES[role][1]
    chosen = encoder if encoder != AUTO_ENCODER else encoders_of(role)[0]
    handles = [
        select_component(model.id, role_of_socket(model.id, socket), precision=precision, source=source, device=device)
        for model in _models_with(chosen, source)
    ]
    if source == AUTO_SOURCE:
        return handles[0]
    for handle in handles:
        try:
            find_weight_files(locate(handle))
        except (MissingFilesError, BrokenFilesError):
            continue
        return handle
    raise UserError(f"models/diffusers/{source} does not hold {chosen}: choose another source, or '{AUTO_SOURCE}'.")


def check_choice(role: str, encoder: str) -> None:
    """Refuse an encoder that does not belong to the role, naming what does."""
    if role not in ROLES:
        raise UserError(f"There is no role '{role}'; choose one of {', '.join(ROLES)}.")
    if encoder not in (AUTO_ENCODER, *encoders_of(role)):
        entry = load_registry().component(encoder)
        raise UserError(
            f"{encoder} ({entry.socket}) cannot encode for the role '{role}', which needs {' or '.join(encoders_of(role))}: "
            f"change the role, or set encoder to '{AUTO_ENCODER}'."
        )


def encoders_of(role: str) -> list[str]:
    """Ids of the components that fill a role, in the order of the registry."""
    architecture, socket = ROLES[role]
    models = load_registry().models_of(architecture)
    return list(dict.fromkeys(entry.id for model in models for entry in model.entries.values() if entry.socket == socket))


def _all_encoders() -> list[str]:
    return list(dict.fromkeys(encoder for role in ROLES for encoder in encoders_of(role)))


def _models_with(encoder: str, source: str) -> list[Model]:
    """Models that have the encoder: first the one that the source is named after, then those that are nothing but this network (a chat
    model, which leaves open what is encoded for), then those that read the longest prompts, of which shorter ones are a part."""
    models = [model for model in load_registry().models.values() if encoder in model.components.values()]

    def order(model: Model) -> tuple[bool, bool, int]:
        networks = sum(entry.parameters > 0 for entry in model.entries.values())
        return model.id != source, networks > 1, -(model.defaults.max_sequence_length or 0)

    return sorted(models, key=order)
