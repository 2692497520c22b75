"""Moves modules between the CPU and the computing device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .tensors import slots

if TYPE_CHECKING:
    import torch


CONTEXT = int(0.3 * 2**30)
"""The least that CUDA's context takes of a card, in bytes, on published readings of nvidia-smi."""


def cuda_memory(device: torch.device) -> int | None:
    """Bytes of a CUDA device that this process can have: what is free, what its allocator holds, and its context, which estimates count.

    None for other devices.
    """
    import torch

    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) + CONTEXT)


class Moved:
    """A module that stands on a device, and the CPU tensors it came from.

    Coming back copies nothing: weights do not change on the device, and those read from a mapped file stay backed by it. Blocks that are
    streamed come and go by themselves.
    """

    def __init__(self, module: torch.nn.Module, device: torch.device) -> None:
        import torch

        # All of them before the first is moved: a tied parameter belongs to two layers, and would be met a second time on the device.
        self._originals = [(owner, name, getattr(owner, name)) for owner, name in slots(module)]
        copies: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        # Changing tensors in place is not allowed in inference mode, in which nodes run.
        with torch.inference_mode(False), torch.no_grad():
            try:
                for owner, name, original in self._originals:
                    memory = original.data_ptr(), original.dtype
                    if memory not in copies:
                        copies[memory] = original.to(device)
                    setattr(owner, name, copies[memory])
            except torch.OutOfMemoryError:
                self.back()
                raise

    def back(self) -> None:
        """Put the module back on the CPU and give its device memory free."""
        import torch

        with torch.inference_mode(False), torch.no_grad():
            for owner, name, original in self._originals:
                setattr(owner, name, original)
        self._originals.clear()


class Placement:
    """Keeps on the device the modules of the running stage, and those before it only until somebody else needs the room."""

    def __init__(self) -> None:
        self._moved: dict[torch.nn.Module, Moved] = {}

    def place(self, modules: Iterable[torch.nn.Module], device: torch.device, staying: Sequence[torch.nn.Module] = ()) -> None:
        """Bring these modules to `device`; every other module leaves it first, but for those `staying`."""
        if device.type == "cpu":
            return
        wanted = list(modules)
        self.release([module for module in self._moved if module not in wanted and module not in staying])
        for module in wanted:
            if module not in self._moved:
                self._moved[module] = Moved(module, device)

    def release(self, modules: Iterable[torch.nn.Module]) -> None:
        """Give the device memory of these modules back."""
        import torch

        moved = [self._moved.pop(module) for module in modules if module in self._moved]
        for module in moved:
            module.back()
        if moved and torch.cuda.is_available():
            torch.cuda.empty_cache()
