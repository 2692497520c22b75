"""What convolutions take for themselves while they run, beside their input, weights and output: no tracker of tensors sees it.

Sources: torch's `aten/src/ATen/native/Convolution.cpp` (`use_mkldnn`, `select_conv_backend`) and `vol2col`; cuDNN's copies to channels-last
memory; the blocked layouts of oneDNN's convolution kernels. `cpu` equals what torch's profiler shows (tests/test_memory_simulate.py); for
CUDA no card was at hand: the sums agree with published peaks (`benchmarks/memory_accuracy.py`).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from .simulate_allocator import rounded

WorkspaceRule = Literal["none", "channels_last", "unfold", "cpu"]
"""What convolutions take beside their tensors: nothing (float32 without TF32), copies to channels-last memory (half precision), or, for
conv3d, the unfolded input (`vol2col`: bf16 and fp16 on torch 2.9.0, on 2.9.1 with cuDNN before 9.15, or a build without cuDNN). `cpu` is
what float32 takes on the processor at hand."""

WORKSPACE_RULES: tuple[WorkspaceRule, ...] = get_args(WorkspaceRule)
CUDA_RULES: tuple[WorkspaceRule, ...] = ("none", "channels_last", "unfold")

_CUDNN_LIMIT = 2**31
"""Elements from which cuDNN refuses a conv3d and torch falls back to unfolding."""
_ONEDNN_FROM = 20480
"""Elements, the last side left out, up to which torch computes a single entry without oneDNN (`use_mkldnn`)."""
_ONEDNN_BATCH = 16
_SMALL_KERNEL = 3


def workspaces(
    x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor, stride: list[int], dilation: list[int], groups: int
) -> tuple[int, ...]:
    """Bytes of one convolution under each of `WORKSPACE_RULES`."""
    return (*_on_cuda(x, weight, out), rounded(_on_the_cpu(x, weight, out, stride, dilation, groups)))


def _on_cuda(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> tuple[int, int, int]:
    if _taps(weight) == 1:
        return (0, 0, 0)
    copies = rounded(sum(tensor.numel() * tensor.element_size() for tensor in (x, weight, out)))
    if weight.dim() < 5:
        return (0, copies, copies)
    unfolded = rounded(_unfolded(x, weight, out))
    if max(x.numel(), out.numel()) >= _CUDNN_LIMIT:
        return (unfolded, unfolded, unfolded)
    return (0, copies, unfolded)


def _on_the_cpu(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor, stride: list[int], dilation: list[int], groups: int) -> int:
    """Where oneDNN computes, input and weights are copied to its blocked layout and the result back from it; else the input is unfolded.

    Of tensors in NCHW order. Those that are channels-last already (on a CPU: from diffusers' attention in batches) take less.
    """
    if not _uses_onednn(x, weight, stride, dilation, groups):
        return 0 if _taps(weight) == 1 else _unfolded(x, weight, out)
    block = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
    size = x.element_size()
    outputs, inputs = rounded(weight.shape[0], block), weight.shape[1]
    taken = 0  # the first layer's few channels are read as they lie
    if inputs >= block:
        inputs = rounded(inputs, block)
        taken = x.numel() // x.shape[1] * rounded(x.shape[1], block) * size
    blocked = out.numel() // out.shape[1] * outputs * size
    # The copies of input and weights are gone before the plain result is made.
    return max(taken + inputs * outputs * _taps(weight) * size + blocked - out.numel() * size, blocked)


def _uses_onednn(x: torch.Tensor, weight: torch.Tensor, stride: list[int], dilation: list[int], groups: int) -> bool:
    """`use_mkldnn` of torch's Convolution.cpp, for float32."""
    height, width = weight.shape[-2:]
    worth_it = (
        max(stride) > 1 or max(dilation) > 1 or x.shape[0] >= _ONEDNN_BATCH or (height, width) != (1, 1) or torch.get_num_threads() > 1
    )
    large = groups > 1 or min(height, width) > _SMALL_KERNEL or x.shape[0] > 1 or x.shape[:4].numel() > _ONEDNN_FROM
    return worth_it and large


def _taps(weight: torch.Tensor) -> int:
    return weight.shape[2:].numel()


def _unfolded(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> int:
    return weight.shape[1] * _taps(weight) * (out.numel() // (out.shape[0] * out.shape[1])) * x.element_size()
