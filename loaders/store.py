"""The process-wide store: which components are loaded, shared by everyone who names them."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import host
from ..host.tensors import byte_count
from .downloads import obtain
from .lora import check_loras, loras_key
from .placement import check_placement
from .precision import check_precision
from .sources import find
from .weight_files import find_weight_files, fingerprint
from .weights import check_config, load_companion, load_module

if TYPE_CHECKING:
    import torch

    from .component import Component
    from .sources import ComponentFolder

log = logging.getLogger(__name__)

Key = tuple[object, ...]


@dataclass
class Entry:
    """A loaded module and what the store knows of it."""

    component: Component
    module: torch.nn.Module
    byte_count: int
    """Bytes of its weights, wherever they are."""
    users: int = 0
    last_used: float = field(default_factory=time.monotonic)


class Store:
    """Loads a component on first use and hands the same module to everyone after that.

    Two handles are the same entry when they name the same files in the same state, the same class, the same precision and the same
    LoRAs, whichever model they were chosen for.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._companions: dict[Key, Any] = {}
        # Two locks, so that asking what is loaded does not wait for a component that is being read.
        self._loading = threading.Lock()
        self._lock = threading.RLock()
        self.loads = 0
        """Modules read from disk so far."""

    @contextmanager
    def use(self, *components: Component) -> Iterator[tuple[Any, ...]]:
        """The modules of these components on the computing device (see `device_of`), kept there until the block ends.

        They are of diffusers or transformers, which torch's types do not know. Raises UserError when files are missing or broken; the
        store is then as it was before.
        """
        entries: list[Entry] = []
        try:
            # All of them before the first is read: a wrong one must not cost the time that the others take.
            for component in components:
                check_precision(component.precision, self.device_of(component).type)
                check_placement(component.placement, component.precision)
            for component in components:
                check_config(component, obtain(component, *components))
                check_loras(component)
            for component in components:
                entries.append(self._acquire(component))
            moved = [entry.module for component, entry in zip(components, entries, strict=True) if component.device == "auto"]
            if moved:
                host.current().place(moved, staying=[entry.module for entry in self.entries() if entry.component.placement == "resident"])
            yield tuple(entry.module for entry in entries)
        finally:
            with self._lock:
                for entry in entries:
                    entry.users -= 1
                    entry.last_used = time.monotonic()

    @staticmethod
    def device_of(component: Component) -> torch.device:
        """Where the module of a component computes while it is in use, and where its inputs belong."""
        import torch

        return torch.device("cpu") if component.device == "cpu" else host.current().device()

    def companion(self, component: Component) -> Any:
        """A tokenizer, processor or scheduler. Shared, so a caller that changes it makes a copy."""
        place = find(component)
        key: Key = (component.entry.class_name, component.id if place is None else (place.file or place.folder).resolve())
        with self._loading:
            if key not in self._companions:
                self._companions[key] = load_companion(component)
            return self._companions[key]

    def entries(self) -> list[Entry]:
        """What is loaded, least recently used first."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: entry.last_used)

    @property
    def byte_count(self) -> int:
        """Bytes of all weights that are loaded."""
        return sum(entry.byte_count for entry in self.entries())

    def evict(self, byte_count: int) -> int:
        """Drop components that nobody uses, least recently used first, until `byte_count` bytes are free; returns the bytes freed."""
        freed = 0
        with self._lock:
            for key, entry in sorted(self._entries.items(), key=lambda item: item[1].last_used):
                if freed >= byte_count:
                    break
                if entry.users == 0:
                    self._drop(key)
                    freed += entry.byte_count
        gc.collect()
        return freed

    def drop(self, entry: Entry) -> bool:
        """Drop one component; False when somebody uses it, or it is gone already."""
        with self._lock:
            key = next((key for key, held in self._entries.items() if held is entry), None)
            if key is None or entry.users:
                return False
            self._drop(key)
        gc.collect()
        return True

    def leave_device(self) -> None:
        """Take everything off the computing device. What is loaded stays so, in main memory."""
        host.current().release([entry.module for entry in self.entries()])
        gc.collect()

    def clear(self) -> None:
        """Drop everything that nobody uses."""
        self.evict(self.byte_count)
        with self._loading:
            self._companions.clear()

    def _acquire(self, component: Component) -> Entry:
        """The entry of a component, loaded if need be, counted as in use."""
        place = obtain(component)
        key = _key(component, place)
        with self._loading:
            entry = self._entries.get(key) or self._load(component, place)
            with self._lock:
                entry.component = component
                self._entries[key] = entry
                entry.users += 1
        return entry

    def _load(self, component: Component, place: ComponentFolder) -> Entry:
        self._make_room(place)
        started = time.monotonic()
        host.current().show_text(f"loading the {component.label}")
        try:
            module = load_module(component, place)
        except BaseException:  # an interruption as well
            # Tensors of a half-read module hang in reference cycles until they are collected.
            gc.collect()
            raise
        finally:
            host.current().show_text("")
        entry = Entry(component, module, byte_count(module))
        self.loads += 1
        seconds = time.monotonic() - started
        log.info("loaded the %s (%s, %.2f GB) in %.1f s", component.label, component.precision, entry.byte_count / 1e9, seconds)
        return entry

    def _make_room(self, place: ComponentFolder) -> None:
        """Evict what nobody uses when main memory cannot take the files. Mapped pages count as available, being reclaimable."""
        import psutil

        needed = sum(path.stat().st_size for path in find_weight_files(place))
        shortage = needed - psutil.virtual_memory().available
        if shortage > 0:
            self.evict(shortage)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key)
        host.current().release([entry.module])
        log.info("dropped the %s", entry.component.label)


def _key(component: Component, place: ComponentFolder) -> Key:
    # Hub caches name files by content through links, so the real path tells the same file in two snapshots apart from a changed one.
    return (
        (place.file or place.folder).resolve(),
        fingerprint(find_weight_files(place)),
        component.entry.class_name,
        component.precision,
        component.device,
        # Streaming is built into the module; of the other placements it knows nothing.
        component.resident_blocks if component.placement == "offload_group" else None,
        loras_key(component),
    )


STORE = Store()
"""The one store of this process."""
