"""A replay of torch's CUDA caching allocator: from a list of allocations and frees to the bytes it reserves.

The rules are those of the default backend (`c10/cuda/CUDACachingAllocator.cpp`, no expandable segments): sizes are rounded to 512 bytes;
up to 1 MiB come from segments of 2 MiB, up to 10 MiB from segments of 20 MiB, larger ones from segments of their own, rounded to 2 MiB; the
smallest free block that fits is taken and split; free neighbours merge; when the device is full, free segments are given back first.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

ROUNDING = 512
_SMALL = 1 << 20
_SMALL_SEGMENT = 2 << 20
_MEDIUM = 10 << 20
_MEDIUM_SEGMENT = 20 << 20
_SEGMENT_ROUNDING = 2 << 20
_CAPACITY_STEP = 8 << 20

Event = tuple[int, int]
"""(key, bytes): an allocation, or, with negative bytes, the free of what has this key."""


def rounded(size: int, step: int = ROUNDING) -> int:
    """The size rounded up to whole steps."""
    return -(-size // step) * step


class OutOfMemoryError(Exception):
    """The replayed device is full."""


class _Block:
    __slots__ = ("after", "before", "is_free", "offset", "segment", "size")

    def __init__(self, segment: int, offset: int, size: int) -> None:
        self.segment, self.offset, self.size = segment, offset, size
        self.before: _Block | None = None
        self.after: _Block | None = None
        self.is_free = True

    @property
    def order(self) -> tuple[int, int, int]:
        return self.size, self.segment, self.offset


class CachingAllocator:
    """One device; `capacity` in bytes, None for one that is never full."""

    def __init__(self, capacity: int | None = None) -> None:
        self.reserved = self.allocated = 0
        self.peak_reserved = self.peak_allocated = 0
        self._capacity = capacity
        self._small: list[tuple[tuple[int, int, int], _Block]] = []
        self._large: list[tuple[tuple[int, int, int], _Block]] = []
        self._held: dict[int, _Block] = {}
        self._segments = 0

    def replay(self, events: Iterable[Event]) -> None:
        """Take every event in turn; what is still held at the end stays held. Raises OutOfMemoryError."""
        for key, size in events:
            if size > 0:
                self.allocate(key, size)
            elif size < 0:
                self.free(key)

    def allocate(self, key: int, size: int) -> None:
        """Hold `size` bytes under `key`. Raises OutOfMemoryError."""
        size = rounded(size)
        pool = self._small if size <= _SMALL else self._large
        index = bisect.bisect_left(pool, (size, -1, -1), key=lambda entry: entry[0])
        block = pool.pop(index)[1] if index < len(pool) else self._new_segment(size)
        self._split(block, size, pool)
        block.is_free = False
        self._held[key] = block
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)

    def free(self, key: int) -> None:
        """Give back what is held under `key`, if anything is."""
        block = self._held.pop(key, None)
        if block is None:
            return
        self.allocated -= block.size
        block.is_free = True
        pool = self._small if block.segment % 2 == 0 else self._large
        if block.before is not None and block.before.is_free:
            self._remove(pool, block.before)
            block.offset = block.before.offset
            block.size += block.before.size
            block.before = block.before.before
            if block.before is not None:
                block.before.after = block
        if block.after is not None and block.after.is_free:
            self._remove(pool, block.after)
            block.size += block.after.size
            block.after = block.after.after
            if block.after is not None:
                block.after.before = block
        bisect.insort(pool, (block.order, block), key=lambda entry: entry[0])

    def free_all(self) -> None:
        """Give back everything that is held; the segments stay reserved."""
        for key in list(self._held):
            self.free(key)

    def empty_cache(self) -> None:
        """Give the segments that nothing is held in back to the device."""
        for pool in (self._small, self._large):
            for entry in list(pool):
                if entry[1].before is None and entry[1].after is None:
                    pool.remove(entry)
                    self.reserved -= entry[1].size

    def _new_segment(self, size: int) -> _Block:
        segment = _SMALL_SEGMENT if size <= _SMALL else _MEDIUM_SEGMENT if size < _MEDIUM else rounded(size, _SEGMENT_ROUNDING)
        if self._capacity is not None and self.reserved + segment > self._capacity:
            self.empty_cache()
            if self.reserved + segment > self._capacity:
                raise OutOfMemoryError
        # Segments of the small pool have even numbers, so that a block tells its pool whatever its size.
        self._segments += 1
        self.reserved += segment
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return _Block(2 * self._segments + (size > _SMALL), 0, segment)

    def _split(self, block: _Block, size: int, pool: list[tuple[tuple[int, int, int], _Block]]) -> None:
        rest = block.size - size
        if not (rest >= ROUNDING if pool is self._small else rest > _SMALL):
            return
        tail = _Block(block.segment, block.offset + size, rest)
        tail.before, tail.after = block, block.after
        if tail.after is not None:
            tail.after.before = tail
        block.after, block.size = tail, size
        bisect.insort(pool, (tail.order, tail), key=lambda entry: entry[0])

    @staticmethod
    def _remove(pool: list[tuple[tuple[int, int, int], _Block]], block: _Block) -> None:
        pool.pop(bisect.bisect_left(pool, block.order, key=lambda entry: entry[0]))


def reserved_bytes(sizes: Iterable[int]) -> int:
    """What the allocator reserves to hold these sizes, allocated in this order."""
    allocator = CachingAllocator()
    for key, size in enumerate(sizes):
        allocator.allocate(key, size)
    return allocator.reserved


def allocator_need(weights: Sequence[int], events: list[Event]) -> tuple[int, int]:
    """What the allocator reserves for these events beside the weights, and the least room (to 8 MiB) in which they run twice.

    `weights` are the bytes of each tensor that is held throughout; when the device is full, the allocator gives its cache back.
    """
    held = CachingAllocator()
    for key, size in enumerate(weights):
        held.allocate(-10 - key, size)
    base = held.reserved
    held.replay(events)
    reserved = held.peak_reserved - base
    low, high = 0, reserved
    while high - low > _CAPACITY_STEP:
        middle = (low + high) // 2
        if _runs_within(weights, events, base + middle):
            high = middle
        else:
            low = middle
    return reserved, high


def _runs_within(weights: Sequence[int], events: list[Event], capacity: int) -> bool:
    allocator = CachingAllocator(capacity)
    try:
        for key, size in enumerate(weights):
            allocator.allocate(-10 - key, size)
        for _ in range(2):
            allocator.replay(events)
            for key in {key for key, _ in events}:
                allocator.free(key)
    except OutOfMemoryError:
        return False
    return True
