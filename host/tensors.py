"""Every tensor that a module holds, those included that its parameters and layers keep beside themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

STREAMED = "_streamed"
"""The mark of a module whose tensors come to the device by themselves (see `streaming`)."""

Slot = tuple[Any, str]
"""An object and the name of its attribute that is a tensor."""


def slots(module: torch.nn.Module) -> Iterator[Slot]:
    """Where the module's tensors are: parameters and buffers, and the scales of bitsandbytes and torchao. Blocks that are streamed are left
    out.

    Several slots may hold the same memory.
    """
    for child in _resident(module):
        for tensor in [*child.parameters(recurse=False), *child.buffers(recurse=False)]:
            yield from _memory(tensor)
        weight = getattr(child, "weight", None)
        state = getattr(weight, "quant_state", None)
        for owner in (state, getattr(state, "state2", None)):
            yield from _attributes(owner, ("absmax", "code", "offset"))
        for owner in (weight, getattr(child, "state", None)):
            yield from _attributes(owner, ("CB", "SCB"))


def byte_count(module: torch.nn.Module) -> int:
    """Bytes of the whole module, shared memory counted once."""
    streamed = {id(tensor): tensor for part in streamed_parts(module) for tensor in [*part.parameters(), *part.buffers()]}
    return device_bytes(module) + sum(tensor.numel() * tensor.element_size() for tensor in streamed.values())


def device_bytes(module: torch.nn.Module) -> int:
    """Bytes of what is on the device while the module is used, without the block that is passing through."""
    sizes = {}
    for owner, name in slots(module):
        tensor = getattr(owner, name)
        sizes[tensor.data_ptr(), tensor.dtype] = tensor.numel() * tensor.element_size()
    return sum(sizes.values())


def streamed_parts(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The parts of a module that come to the device by themselves."""
    if _is_streamed(module):
        return [module]
    return [part for child in module.children() for part in streamed_parts(child)]


def _resident(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    if not _is_streamed(module):
        yield module
        for child in module.children():
            yield from _resident(child)


def _is_streamed(module: torch.nn.Module) -> bool:
    return hasattr(module, STREAMED)


def _memory(tensor: Any) -> Iterator[Slot]:
    """A tensor itself, or the ones that it stands for: torchao's have no memory of their own."""
    if hasattr(tensor, "__tensor_flatten__"):
        yield from ((tensor, name) for name in tensor.__tensor_flatten__()[0])
    else:
        yield tensor, "data"


def _attributes(owner: Any, names: tuple[str, ...]) -> Iterator[Slot]:
    import torch

    for name in names:
        if isinstance(getattr(owner, name, None), torch.Tensor):
            yield owner, name
