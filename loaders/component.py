"""The handle that travels on the wires: which part of which model, in which precision, from where. Never the weights themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import UserError
from .placement import Placement
from .precision import QUANTISED, QUANTISED_ROLES, Precision, computing_precision, resolve_precision
from .registry import load_registry

if TYPE_CHECKING:
    from .lora import Lora
    from .schema import ComponentEntry, Location, Model
    from .step_cache import StepCache

AUTO_SOURCE = "auto"
"""Search the model folders, then the hub cache, for the first place that holds the component."""

Device = Literal["auto", "cpu"]
"""`auto` is where the host computes; `cpu` keeps a part off the card, at the price of time."""

DEVICES: tuple[Device, ...] = get_args(Device)


@dataclass(frozen=True)
class Component:
    """One part of one model, as a value.

    `model` and `role` name it within its model; `id` is the registry's component, which other models may share. `source` is
    `AUTO_SOURCE`, the name of a folder below ComfyUI's `models/diffusers`, or a single file of another folder, `KIND/NAME.safetensors`.
    With `offload_group` the first `resident_blocks` blocks stay on the device. A VAE with a `tile` works on overlapping squares of so many
    pixels (0: the VAE's own choice) one after the other: less memory, more time. `loras` lie beside a transformer's weights, in the order
    given. `step_cache` is put onto the module for the length of a run; all else decides which loaded module the handle means.
    """

    id: str
    role: str
    model: str
    precision: Precision
    source: str = AUTO_SOURCE
    device: Device = "auto"
    placement: Placement = "offload_model"
    resident_blocks: int = 0
    tile: int | None = None
    loras: tuple[Lora, ...] = ()
    step_cache: StepCache | None = None

    @property
    def entry(self) -> ComponentEntry:
        """What the registry says of the component."""
        return load_registry().component(self.id)

    @property
    def model_entry(self) -> Model:
        """What the registry says of the model that the component was chosen for."""
        return load_registry().model(self.model)

    @property
    def location(self) -> Location:
        """Where on the hub a download of it comes from."""
        return self.entry.location_for(computing_precision(self.precision, self.entry), self.model_entry.repository)

    @property
    def label(self) -> str:
        """The component in words, for messages: `transformer of FLUX.1 [dev]`."""
        return f"{self.role.replace('_', ' ')} of {self.model_entry.name}"

    def sibling(self, role: str) -> Component:
        """Another part of the same model from the same source. Raises UserError when the model has no such part."""
        return select_component(self.model, role, source=self.source)

    def tokenizer(self) -> Component:
        """The tokenizer that belongs to a text encoder."""
        tokenizer_id = self.entry.tokenizer
        if tokenizer_id is None:
            raise UserError(f"The {self.label} has no tokenizer of its own.")
        return replace(self, id=tokenizer_id, role="tokenizer")


def select_component(
    model_id: str, role: str, *, precision: Precision = "auto", source: str = AUTO_SOURCE, device: Device = "auto"
) -> Component:
    """The handle for one role of a registry model. Raises UserError for an unknown model, role, precision or device.

    A quantised precision is for the large networks; a VAE or an image encoder keeps its own. `auto` keeps a transformer's GGUF file, where
    that is what the source gives, as it is.
    """
    if device not in DEVICES:
        raise UserError(f"There is no device '{device}'; choose one of {', '.join(DEVICES)}.")
    model = load_registry().model(model_id)
    component_id = model.components.get(role)
    if component_id is None:
        raise UserError(f"{model.name} has no {role.replace('_', ' ')}; it has {', '.join(sorted(model.components))}.")
    entry = load_registry().component(component_id)
    if precision in QUANTISED and not role.startswith(QUANTISED_ROLES):
        precision = "auto"
    component = Component(component_id, role, model.id, resolve_precision(precision, entry), source, device)
    if precision == "auto" and role.startswith(QUANTISED_ROLES):
        from .as_stored import is_kept_gguf  # it needs this module's handles

        component = replace(component, precision="gguf") if is_kept_gguf(component) else component
    return component


def role_of_socket(model_id: str, socket: str) -> str:
    """The role of the model's part that goes into this socket. Raises UserError when it has none."""
    model = load_registry().model(model_id)
    for role, entry in model.entries.items():
        if entry.socket == socket:
            return role
    raise UserError(f"{model.name} has no {socket}.")
