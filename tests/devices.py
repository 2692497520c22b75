"""Where the tests' models compute: on a card where there is one, as the host says, else on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from advanced_models import host


def on_device(value: Any, device: torch.device | None = None) -> Any:
    """A tensor, a network, a whole pipeline, or a mapping with tensors among its values, on the host's device or the one given."""
    device = device or host.current().device()
    if isinstance(value, Mapping):
        return {name: item.to(device) if isinstance(item, torch.Tensor) else item for name, item in value.items()}
    return value.to(device)


def onto_the_card() -> dict[str, Any]:
    """Options of `from_pretrained` for a quantised network, whose scales stay behind where it is moved afterwards."""
    device = host.current().device()
    return {} if device.type == "cpu" else {"device_map": device}


def on_cpu(value: Any) -> Any:
    """The same on the CPU, where results are compared."""
    return on_device(value, torch.device("cpu"))
