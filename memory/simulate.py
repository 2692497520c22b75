"""What a model's own forward pass allocates, found without allocating: the real code runs on the meta device under a tracker.

Every tensor that an operation returns counts by its storage, once, rounded to the allocator's 512 bytes, until the storage is freed.
Three things that the meta device does not show are put in: what the CUDA attention kernels allocate beside their output, what the fused
RMS norm of torch 2.9 keeps, and the workspace of convolutions.

Source of the rules for attention: torch's `aten/src/ATen/native/transformers/cuda/attention.cu` (outputs of the flash and memory-efficient
kernels). No GPU was at hand: the sums agree with published peaks (`benchmarks/memory_accuracy.py`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from .simulate_allocator import ROUNDING, Event, rounded
from .simulate_workspace import WORKSPACE_RULES, WorkspaceRule, workspaces

Attention = Literal["fused", "math"]
"""Fused: the flash or memory-efficient kernel that torch chooses on CUDA. Math: the whole matrix of attention weights is held."""

_NO_WORKSPACE = (0,) * len(WORKSPACE_RULES)
_FLASH_HEAD = 256
"""Largest head width of the flash kernel."""
_NO_ACCUMULATOR = 128
"""Largest value width for which the memory-efficient kernel needs no float32 accumulator."""


@dataclass
class Simulation:
    """One forward pass. Levels and workspaces are aligned: one entry for each operation, in order."""

    weights: int = 0
    levels: list[int] = field(default_factory=list)
    """Bytes above the weights that are alive right after each operation, its inputs included."""
    workspaces: list[tuple[int, ...]] = field(default_factory=list)
    """Bytes that the operation takes for itself while it runs, under each of `WORKSPACE_RULES`."""
    events: list[Event] = field(default_factory=list)
    """The allocations and frees, for the allocator's replay; an event of size 0 is the workspace of the operation that its key numbers."""

    def peak(self, rule: WorkspaceRule = "none") -> int:
        """The most bytes above the weights at once (what `torch.cuda.max_memory_allocated` would show above the weights)."""
        which = WORKSPACE_RULES.index(rule)
        return max((level + work[which] for level, work in zip(self.levels, self.workspaces, strict=True)), default=0)

    def trace(self, rule: WorkspaceRule) -> Iterator[Event]:
        """Allocations and frees as the allocator sees them when convolutions follow `rule`."""
        which = WORKSPACE_RULES.index(rule)
        for key, size in self.events:
            if size:
                yield key, size
            elif work := self.workspaces[key][which]:
                yield -1, work
                yield -1, -work


class MemoryTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts live storages. It works alike on meta and on real tensors, so that it can be checked on a CPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.simulation = Simulation()
        self._live: dict[int, tuple[int, int]] = {}
        self._bytes = 0
        self._count = 0

    def watch_weights(self, module: torch.nn.Module) -> None:
        """Count a module's tensors as weights."""
        for tensor in [*module.parameters(), *module.buffers()]:
            self._watch(tensor)
        self.simulation.weights = self._bytes
        self.simulation.events.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_iter((args, kwargs)):
            if isinstance(value, torch.Tensor):
                self._watch(value)
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self._watch(value)
        work = _NO_WORKSPACE
        if func is torch.ops.aten.convolution.default:
            x, weight, _, stride, _, dilation, _, _, groups = args
            work = workspaces(x, weight, result, stride, dilation, groups)
            self.simulation.events.append((len(self.simulation.levels), 0))
        self.simulation.levels.append(self._bytes - self.simulation.weights)
        self.simulation.workspaces.append(work)
        return result

    def _watch(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._live:
            return
        size = rounded(storage.nbytes())
        self._count += 1
        self._live[address] = (size, self._count)
        self._bytes += size
        if size:
            self.simulation.events.append((self._count, size))
        weakref.finalize(storage, self._freed, address, self._count)

    def _freed(self, address: int, number: int) -> None:
        size, current = self._live.get(address, (0, 0))
        if current != number:
            return
        del self._live[address]
        self._bytes -= size
        if size:
            self.simulation.events.append((number, -size))


class CudaKernels(TorchFunctionMode):
    """Puts what the CUDA kernels allocate in place of what the meta device makes of the same call."""

    def __init__(self, attention: Attention = "fused", *, fused_rms_norm: bool = True) -> None:
        super().__init__()
        self._attention = attention
        self._fused_rms_norm = fused_rms_norm

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        if func is F.rms_norm and self._fused_rms_norm:
            return _rms_norm(*args)
        return func(*args, **kwargs)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if enable_gqa and (self._attention == "math" or attn_mask is not None):
            groups = query.shape[-3] // key.shape[-3]
            key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
        if self._attention == "math":
            root = query.shape[-1] ** -0.25
            scores = (query * root) @ (key * root).transpose(-1, -2)
            if attn_mask is not None:
                scores = scores + attn_mask
            return torch.softmax(scores, -1) @ value
        *batch, heads, length, width = query.shape
        memory_efficient = attn_mask is not None or width > _FLASH_HEAD or query.dtype == torch.float32
        if attn_mask is not None and attn_mask.shape[-1] % 8:
            attn_mask = F.pad(attn_mask, (0, 8 - attn_mask.shape[-1] % 8))  # the kernel wants rows aligned to 8
        out = query.new_empty((*batch, length, heads, value.shape[-1])).transpose(-2, -3)
        _log_sums = query.new_empty((*batch, heads, length), dtype=torch.float32)
        if memory_efficient and value.shape[-1] > _NO_ACCUMULATOR and query.dtype != torch.float32:
            _accumulator = out.new_empty(out.shape, dtype=torch.float32)
        return out


def _rms_norm(x: torch.Tensor, normalized_shape: Any, weight: Any = None, eps: Any = None) -> torch.Tensor:
    _inverse_root = x.new_empty(x.shape[: x.ndim - len(normalized_shape)], dtype=torch.float32)
    return x.new_empty(x.shape)


def simulate(
    module: torch.nn.Module,
    call: Callable[[], object],
    *,
    attention: Attention | None = "fused",
    fused_rms_norm: bool = True,
) -> Simulation:
    """Run `call`, which runs `module` on inputs made beforehand, and report what it allocated.

    Inputs count as activations from the operation on that first takes them. With `attention=None` nothing is replaced: what real tensors
    on this machine's own device allocate.
    """
    tracker = MemoryTracker()
    tracker.watch_weights(module)
    with torch.no_grad():
        if attention is None:
            with tracker:
                result = call()
        else:
            with CudaKernels(attention, fused_rms_norm=fused_rms_norm), tracker:
                result = call()
    simulation = tracker.simulation
    tracker.simulation = Simulation()  # frees from here on are no part of the run
    del result
    return simulation


__all__ = ["ROUNDING", "Attention", "CudaKernels", "MemoryTracker", "Simulation", "WorkspaceRule", "simulate"]
