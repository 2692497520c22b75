"""The replay of CUDA's caching allocator, against its documented rules worked out by hand."""

from __future__ import annotations

import pytest
from advanced_models.memory.simulate_allocator import CachingAllocator, OutOfMemoryError, allocator_need, reserved_bytes

MIB = 2**20


@pytest.mark.parametrize(
    ("size", "reserved"),
    [
        (1, 2 * MIB),  # small: a segment of 2 MiB
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),  # medium: a segment of 20 MiB
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),  # large: its own, rounded to 2 MiB
        (11 * MIB, 12 * MIB),
    ],
)
def test_segments_by_size(size: int, reserved: int) -> None:
    assert reserved_bytes([size]) == reserved


def test_small_blocks_share_a_segment() -> None:
    assert reserved_bytes([512] * 4096) == 2 * MIB
    assert reserved_bytes([512] * 4097) == 4 * MIB


def test_freed_blocks_merge_and_are_used_again() -> None:
    # Three blocks of 4 MiB fill 12 of a 20 MiB segment; freed, they are one block of 20 again.
    events = [(1, 4 * MIB), (2, 4 * MIB), (3, 4 * MIB), (2, -1), (1, -1), (3, -1), (4, 9 * MIB), (5, 9 * MIB)]
    assert allocator_need([], events)[0] == 20 * MIB


def test_a_hole_that_is_too_small_stays_empty() -> None:
    # 16 MiB of the two holes of 8 are free, but no hole holds 16.
    events = [(1, 8 * MIB), (2, 8 * MIB), (3, 32 * MIB), (1, -1), (4, 16 * MIB)]
    allocator = CachingAllocator()
    allocator.replay(events)
    assert (allocator.allocated, allocator.reserved) == (56 * MIB, 68 * MIB)


def test_a_full_device_gives_its_cache_back_before_it_fails() -> None:
    allocator = CachingAllocator(capacity=40 * MIB)
    allocator.replay([(1, 20 * MIB), (1, -1), (2, 30 * MIB)])
    assert allocator.reserved == 30 * MIB
    with pytest.raises(OutOfMemoryError):
        allocator.allocate(3, 12 * MIB)


def test_the_least_room() -> None:
    # 24 then 30 MiB, never both: 30 suffice when the cache is given back.
    events = [(1, 24 * MIB), (1, -24 * MIB), (2, 30 * MIB), (2, -30 * MIB)]
    reserved, least = allocator_need([12 * MIB], events)
    assert reserved == 54 * MIB
    assert 30 * MIB <= least <= 38 * MIB
