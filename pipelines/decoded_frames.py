"""An IMAGE whose frames are decoded when somebody looks at them.

A node that decodes a clip hands this on instead of a finished tensor. To other nodes it is a torch tensor: its shape and dtype are known at
once, and the first operation that needs pixels decodes them all, once. A node that can work frame by frame asks for `chunks` instead
(the protocol `video.frames.FrameSource`), so that the whole clip never exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_map

Chunks = Callable[[], Iterator[torch.Tensor]]
"""Starts to decode and yields float32 frames [n, H, W, C] in display order; may be called again."""

_PROPERTIES = ("shape", "dtype", "device", "layout", "ndim", "requires_grad", "is_cuda", "itemsize", "nbytes")
_METHODS = ("size", "dim", "numel", "nelement", "element_size", "is_floating_point", "is_complex", "__len__", "__hash__")
_KNOWN = {getattr(torch.Tensor, name).__get__ for name in _PROPERTIES} | {getattr(torch.Tensor, name) for name in _METHODS}
"""What can be answered without a single pixel."""


class DecodedFrames(torch.Tensor):
    """Frames [frames, H, W, C], float32 on the CPU, decoded on first use."""

    frame_count: int
    height: int
    width: int
    channels: int
    _decode: Chunks
    _pixels: torch.Tensor | None

    @staticmethod
    def __new__(cls, shape: tuple[int, int, int, int], decode: Chunks) -> DecodedFrames:
        frames: DecodedFrames = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.float32)  # type: ignore[attr-defined]
        frames.frame_count, frames.height, frames.width, frames.channels = shape
        frames._decode = decode
        frames._pixels = None
        return frames

    def __init__(self, shape: tuple[int, int, int, int], decode: Chunks) -> None:
        super().__init__()

    def chunks(self) -> Iterator[torch.Tensor]:  # type: ignore[override]
        """The frames, a few at a time: those in memory if they are there, else as they leave the decoder."""
        if self._pixels is None:
            yield from self._decode()
        else:
            yield from (self._pixels[index : index + 1] for index in range(self.frame_count))

    def decoded(self) -> torch.Tensor:
        """All frames, as a plain tensor."""
        if self._pixels is None:
            pixels = torch.empty(self.frame_count, self.height, self.width, self.channels)
            done = 0
            for chunk in self._decode():
                pixels[done : done + len(chunk)] = chunk
                done += len(chunk)
            self._pixels = pixels
        return self._pixels

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override, unused-ignore]
        return f"DecodedFrames({list(self.shape)}, {'decoded' if self._pixels is not None else 'not decoded yet'})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _KNOWN:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        return func(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override, unused-ignore]
        return func(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))


def _plain(value: Any) -> Any:
    return value.decoded() if isinstance(value, DecodedFrames) else value
