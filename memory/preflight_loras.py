"""What the LoRAs of a graph add to the weights of the transformers they act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import UserError
from ..loaders.lora import Lora, locate_lora, preset_of


@dataclass(frozen=True)
class LoraUse:
    """One LoRALoader of a graph."""

    loaders: frozenset[str]
    """The loaders whose transformer it acts on."""
    lora: str
    """A file, or the name of a registry LoRA."""
    low_noise: str
    """A file for the second expert; empty for none."""

    def on(self, model: str, role: str) -> Lora | None:
        """The LoRA that it puts on a role of a model."""
        if not self.lora.endswith(".safetensors"):
            preset = preset_of(model, self.lora)
            return Lora(preset.files[role], 1.0, preset.repository) if role in preset.files else None
        file = {"transformer": self.lora, "transformer_2": self.low_noise}.get(role)
        return Lora(file, 1.0) if file else None


def lora_bytes(uses: Iterable[LoraUse], node: str, model: str | None, role: str) -> tuple[int, list[str]]:
    """Bytes of the LoRAs on a role of the model that `node` loads, and a sentence for each that is not here and was not counted.

    LoRAs lie beside the weights as the file holds them, in 16 bits for nearly all that are published.
    """
    size, notes = 0, []
    for use in uses:
        if node not in use.loaders or model is None:
            continue
        try:
            lora = use.on(model, role)
            size += locate_lora(lora).path.stat().st_size if lora is not None else 0
        except UserError as error:
            notes.append(f"Not counted: {error}")
    return size, notes
