"""Blocks of a network that come to the computing device one after the other, each for its own forward pass."""

from __future__ import annotations

import contextlib
import functools
import logging
import mmap
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .tensors import STREAMED, slots

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)

_ALIGNMENT = 512
"""Bytes at whose multiples tensors begin: what torch's CUDA allocator gives every tensor (`kMinBlockSize`)."""


def stream(module: nn.Module, blocks: Sequence[nn.Module], device: torch.device) -> None:
    """Have these blocks of `module`, in the order in which they compute, come to `device` for their forward passes.

    Two buffers of the size of the largest block stand on the device while the module computes: the block that computes is in one, and the
    next one is copied into the other meanwhile. Main memory holds the blocks' weights once, page-locked where the device is CUDA and the
    system allows it: only then do the copies not wait for the computation. It cannot be undone on a live module.
    """
    streamed = BlockStream(blocks, device)
    for number, block in enumerate(blocks):
        setattr(block, STREAMED, True)
        _wrap(block, functools.partial(streamed.present, number))
    # Where the last blocks are skipped, by a step cache or an error, nobody else would give the buffers back.
    _wrap(module, streamed.released)


class BlockStream:
    """The weights of blocks in main memory, and two places for them on the device."""

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device) -> None:

        self._device = device
        # One after the other, so that a file's pages and their copy never stand side by side for the whole module.
        self._blocks = [_Block(block, pinned=device.type == "cuda") for block in blocks]
        self._size = max((block.size for block in self._blocks), default=0)
        self._copying = _cuda().Stream(device) if device.type == "cuda" else None
        self._places: list[_Place] = []

    @contextlib.contextmanager
    def present(self, number: int) -> Iterator[None]:
        """Within the block, the weights of block `number` are on the device."""
        if not self._places:
            self._places = [_Place(self._size, self._device, self._copying) for _ in range(2)]
        here = self._bring(number, self._places[0])
        if number + 1 < len(self._blocks):
            self._bring(number + 1, next(place for place in self._places if place is not here))
        here.wait_for_weights()
        block = self._blocks[number]
        block.point_to(here.buffer)
        try:
            yield
        finally:
            block.point_to(block.weights)
            here.note_use()
            if number + 1 == len(self._blocks):
                self.release()

    def _bring(self, number: int, place: _Place) -> _Place:
        """Where the block is, or is being copied to: `place`, unless it is somewhere already."""
        found = next((place for place in self._places if place.holds == number), None)
        if found is None:
            place.take(number, self._blocks[number].weights)
        return found or place

    def release(self) -> None:
        """Give the memory of the two places back to the allocator."""
        for place in self._places:
            # A block that was copied ahead and not used: its copy must end before others get the memory.
            place.wait_for_weights()
        self._places = []

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """After the block nothing of the stream is on the device."""
        try:
            yield
        finally:
            self.release()


class _Block:
    """The tensors of one block, side by side in one piece of main memory."""

    def __init__(self, block: nn.Module, *, pinned: bool) -> None:
        import torch

        # Changing tensors in place is not allowed in inference mode, in which nodes run.
        with torch.inference_mode(False), torch.no_grad():
            tensors = [(owner, name, getattr(owner, name)) for owner, name in slots(block)]
            self._layout: list[tuple[Any, str, int, torch.Tensor]] = []
            self.size = 0
            for owner, name, tensor in tensors:
                # Stands for shape and dtype alone.
                self._layout.append((owner, name, self.size, tensor.to("meta")))
                self.size += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
            self.weights = _main_memory(self.size)
            if pinned and self.size and _lock_pages(self.weights):
                weakref.finalize(self, _unlock_pages, self.weights).atexit = False
            for (_, _, offset, shape), (_, _, tensor) in zip(self._layout, tensors, strict=True):
                _view(self.weights, offset, shape).copy_(tensor)
        self.point_to(self.weights)

    def point_to(self, memory: torch.Tensor) -> None:
        """Have the block's tensors lie in `memory`, laid out as in `weights`."""
        import torch

        with torch.inference_mode(False), torch.no_grad():
            for owner, name, offset, shape in self._layout:
                setattr(owner, name, _view(memory, offset, shape))


class _Place:
    """A buffer on the device, and when what is in it may be used or written over."""

    def __init__(self, size: int, device: torch.device, copying: torch.cuda.Stream | None) -> None:
        import torch

        self.holds: int | None = None
        self._device, self._copying = device, copying
        with torch.inference_mode(False):
            self.buffer = torch.empty(size, dtype=torch.uint8, device=device)
        if copying is not None:
            self._arrived, self._free = _cuda().Event(), _cuda().Event()
            # What computed before may still use the memory.
            self._free.record(torch.cuda.current_stream(device))

    def take(self, number: int, weights: torch.Tensor) -> None:
        """Begin to copy the weights of block `number` here, after what uses the place now."""
        import torch

        self.holds = number
        with torch.inference_mode(False), torch.no_grad():
            if self._copying is None:
                self.buffer[: len(weights)].copy_(weights)
                return
            self._copying.wait_event(self._free)
            with torch.cuda.stream(self._copying):
                self.buffer[: len(weights)].copy_(weights, non_blocking=True)
            self._arrived.record(self._copying)

    def wait_for_weights(self) -> None:
        """Have the computation go on when the copy has ended."""
        import torch

        if self._copying is not None and self.holds is not None:
            torch.cuda.current_stream(self._device).wait_event(self._arrived)

    def note_use(self) -> None:
        """The block in it has been given its work."""
        import torch

        if self._copying is not None:
            self._free.record(torch.cuda.current_stream(self._device))


def _view(memory: torch.Tensor, offset: int, shape: torch.Tensor) -> torch.Tensor:
    return memory[offset : offset + shape.nbytes].view(shape.dtype).view(shape.shape)


def _wrap(module: nn.Module, context: Callable[[], Any]) -> None:
    """Run the module's forward within a context; hooks of diffusers that are added later, as a step cache's, go around it."""
    forward = module.forward

    @functools.wraps(forward)
    def within(*args: Any, **kwargs: Any) -> Any:
        with context():
            return forward(*args, **kwargs)

    module.forward = within


def _main_memory(size: int) -> torch.Tensor:
    """Bytes on pages that nothing else lies on, since a page is locked once."""
    import torch

    memory = torch.empty(size + 2 * mmap.PAGESIZE, dtype=torch.uint8)
    start = -memory.data_ptr() % mmap.PAGESIZE
    return memory[start : start + size]


def _lock_pages(memory: torch.Tensor) -> bool:
    """Page-lock memory as it is; torch's own pinned memory comes in powers of two, which would take up to twice the room."""
    import torch

    error = int(_cuda().cudart().cudaHostRegister(memory.data_ptr(), memory.nbytes, 0))
    if error == 0:
        return True
    log.warning("the system locks no further %.1f GB of main memory: their copies to the card are slower", memory.nbytes / 1e9)
    # torch would blame the next computation, for CUDA reports an error once more where somebody asks. It is known by now.
    with contextlib.suppress(RuntimeError):
        torch.zeros(1, device="cuda").add_(1).item()
    return False


def _unlock_pages(memory: torch.Tensor) -> None:
    _cuda().cudart().cudaHostUnregister(memory.data_ptr())


def _cuda() -> Any:
    """torch.cuda, whose classes torch's types leave out in part."""
    import torch

    return torch.cuda
