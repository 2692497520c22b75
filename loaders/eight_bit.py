"""Weights stored in fp8 as wider numbers, through a table: torch converts one number at a time, an eighth as fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Indices that numpy widens to its own kind at once stay in the cache.
_PAIRS_AT_ONCE = 1 << 17


def is_eight_bit(weight: torch.Tensor) -> bool:
    import torch

    return weight.dtype in (torch.float8_e4m3fn, torch.float8_e5m2)


def widened(weight: torch.Tensor, dtype: torch.dtype, scale: float = 1.0) -> torch.Tensor:
    """What `weight` [...], fp8 of either kind, holds times `scale`, in `dtype` of 16 or 32 bits, rounded once.

    Two neighbours are looked up at once: the table has an entry for each of their 65536 values, made by torch itself.
    """
    import numpy as np
    import torch

    # The scale is a number, which torch keeps in full precision beside 16 bits.
    single = torch.arange(256, dtype=torch.uint8).view(weight.dtype).to(dtype).mul_(scale)
    # numpy knows no bf16: what it moves are integers of the same size.
    kind, pair_kind = {2: (torch.int16, np.int32), 4: (torch.int32, np.int64)}[single.element_size()]
    numbers = single.view(kind).numpy()
    # The first of two neighbours is the lower byte of the index.
    pairs = np.stack(np.broadcast_arrays(numbers, numbers[:, None]), axis=-1).view(pair_kind).ravel()

    stored = weight.contiguous().view(torch.uint8).flatten().numpy()
    result = torch.empty(weight.shape, dtype=dtype)
    target = result.view(kind).flatten().numpy()
    even = len(stored) // 2 * 2
    indices, words = stored[:even].view(np.uint16), target[:even].view(pair_kind)
    for start in range(0, len(words), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        np.take(pairs, indices[part], out=words[part], mode="clip")
    target[even:] = numbers[stored[even:]]
    return result
