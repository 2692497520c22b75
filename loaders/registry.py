"""The registry: every model and component this pack knows, read from `registry.yaml` and the user's own overlay file.

The overlay (`registry.yaml` in the host's user folder) has the same layout. Its entries are merged into ours key by key,
so that it can add a model, or change one field of one entry. A mistake in either file is a `UserError` that names file,
entry, field and what was expected.
"""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..errors import UserError
from ..host import current
from .registry_errors import RegistryError, describe
from .registry_warnings import all_warnings
from .registry_yaml import read_yaml
from .schema import Architecture, ComponentEntry, Entry, Licence, Model, Source

REGISTRY_FILE = Path(__file__).parent.parent / "registry.yaml"
OVERLAY_NAME = "registry.yaml"
OVERLAY_SOURCE = "overlay"

SECTIONS: Mapping[str, type[Entry]] = {
    "sources": Source,
    "licences": Licence,
    "architectures": Architecture,
    "components": ComponentEntry,
    "models": Model,
}

Document = dict[str, dict[str, Any]]
AnyEntry = TypeVar("AnyEntry", ComponentEntry, Model)


@dataclass(frozen=True)
class Registry:
    """Every entry by its id, in file order."""

    sources: Mapping[str, Source]
    licences: Mapping[str, Licence]
    architectures: Mapping[str, Architecture]
    components: Mapping[str, ComponentEntry]
    models: Mapping[str, Model]

    def model(self, model_id: str) -> Model:
        """The model of this id.

        Raises:
            UserError: no model has this id; the message names the nearest ones.
        """
        return _find(self.models, model_id, "model")

    def component(self, component_id: str) -> ComponentEntry:
        """The component of this id.

        Raises:
            UserError: no component has this id; the message names the nearest ones.
        """
        return _find(self.components, component_id, "component")

    def models_of(self, architecture: str | Collection[str], task: str | None = None) -> list[Model]:
        """The models of one or more architectures that can be run here, optionally only those that can do a task."""
        wanted = {architecture} if isinstance(architecture, str) else set(architecture)
        return [
            model
            for model in self.models.values()
            if model.availability == "open" and model.architecture in wanted and (task is None or task in model.tasks)
        ]


_held: ContextVar[Registry | None] = ContextVar("held registry", default=None)


def load_registry() -> Registry:
    """The registry with the user's overlay merged in; read anew only when one of the two files has changed.

    Raises:
        UserError: one of the files cannot be used; the message names file, entry, field and what was expected.
    """
    held = _held.get()
    if held is not None:
        return held
    overlay = _overlay_of(current().user_folder)
    stamp = _stamp(overlay)
    return _load(REGISTRY_FILE, _stamp(REGISTRY_FILE), overlay if stamp else None, stamp)


@contextmanager
def registry_held() -> Iterator[None]:
    """Within it the registry is asked for as it was on entry, without looking at its files: for a search that asks thousands of times."""
    token = _held.set(load_registry())
    try:
        yield
    finally:
        _held.reset(token)


def read_registry(path: Path, overlay: Path | None = None) -> Registry:
    """Read a registry file, and an overlay where there is one.

    Raises:
        UserError: as `load_registry`.
    """
    document = _read(path, path.name)
    if overlay is None or not overlay.is_file():
        return _build(document, path.name)
    label = f"your own {overlay.name}"
    merged = _merge(document, _read(overlay, label))
    try:
        return _build(merged, label)
    except RegistryError:
        _build(document, path.name)  # whose mistake is it? If the file without the overlay is at fault, say so.
        raise


@lru_cache(maxsize=4)
def _overlay_of(folder: Path) -> Path:
    """Kept because joining paths would be most of what asking for an unchanged registry costs."""
    return folder / OVERLAY_NAME


@lru_cache(maxsize=4)
def _load(path: Path, _stamp: object, overlay: Path | None, _overlay_stamp: object) -> Registry:
    return read_registry(path, overlay)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - half the time of `Path.stat`, and this is asked thousands of times a preflight
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _read(path: Path, label: str) -> Document:
    """The sections of a file, each a mapping of mappings."""
    document = read_yaml(path, label)
    for section, entries in document.items():
        if section not in SECTIONS:
            raise RegistryError(label, (section,), f"unknown section{_hint(section, SECTIONS)}")
        if not isinstance(entries, dict):
            raise RegistryError(label, (section,), "expected entries by their id (id: {...})")
        for key, entry in entries.items():
            if not isinstance(entry, dict):
                raise RegistryError(label, (section, str(key)), f"expected keys and values, found {entry!r}")
    return document


def _merge(document: Document, overlay: Document) -> Document:
    """The document with the overlay's entries added, or merged into those that exist.

    A fact that the overlay states is the user's own, so its source becomes the overlay unless the overlay names one.
    """
    merged = copy.deepcopy(document)
    merged.setdefault("sources", {})[OVERLAY_SOURCE] = {"what": "the user's own registry file", "verified": False}
    for section, entries in overlay.items():
        kind = SECTIONS[section]
        for key, entry in entries.items():
            if issubclass(kind, (ComponentEntry, Model)) and isinstance(entry.get("sources", {}), dict):
                stated = {field: OVERLAY_SOURCE for field in entry if field not in kind.NO_FACTS}
                entry = {**entry, "sources": {**stated, **entry.get("sources", {})}}
            target = merged.setdefault(section, {})
            target[key] = _merge_values(target.get(key), entry)
    return merged


def _merge_values(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merge_values(old.get(key), value) for key, value in new.items()}}
    return new


def _build(document: Document, file: str) -> Registry:
    """Validate every entry, then what must fit together between them."""
    sections: dict[str, dict[str, Any]] = {}
    for section, kind in SECTIONS.items():
        sections[section] = {}
        for key, raw in document.get(section, {}).items():
            data = raw
            if "id" in kind.model_fields:
                if "id" in raw:
                    raise RegistryError(file, (section, str(key)), "unknown key 'id'; the id is the entry's name")
                data = {**raw, "id": key}
            if kind is Model and isinstance(raw.get("licence"), str):
                data["licence"] = _named(sections["licences"], raw["licence"], file, (section, str(key), "licence"))
            try:
                sections[section][key] = kind.model_validate(data)
            except ValidationError as error:
                raise describe(error, file, (section, str(key))) from error
    registry = Registry(**sections)
    for component in registry.components.values():
        _check_component(registry, component, file)
    models: dict[str, Model] = {}
    for model in registry.models.values():
        _check_model(registry, model, file)
        model.bind(registry.components)
        models[model.id] = model.model_copy(update={"warnings": all_warnings(model)})
    return replace(registry, models=models)


def _check_component(registry: Registry, component: ComponentEntry, file: str) -> None:
    where = ("components", component.id)
    _check_sources(registry, component, file, where)
    if component.tokenizer is not None:
        tokenizer = _named(registry.components, component.tokenizer, file, (*where, "tokenizer"))
        if tokenizer.socket != "TOKENIZER":
            raise RegistryError(file, (*where, "tokenizer"), f"'{tokenizer.id}' is a {tokenizer.socket}, not a TOKENIZER")


def _check_model(registry: Registry, model: Model, file: str) -> None:
    where = ("models", model.id)
    _check_sources(registry, model, file, where)
    _named(registry.architectures, model.architecture, file, (*where, "architecture"))
    for role, component_id in model.components.items():
        _named(registry.components, component_id, file, (*where, "components", role))


def _check_sources(registry: Registry, entry: ComponentEntry | Model, file: str, where: tuple[str, str]) -> None:
    """Every fact has a source, every source is in the table, and none is left over from a fact that was removed."""
    names = {name: field.alias or name for name, field in type(entry).model_fields.items()}
    facts = [names[name] for name in names if name in entry.model_fields_set and name not in entry.NO_FACTS]
    for fact in facts:
        if fact not in entry.sources:
            raise RegistryError(file, (*where, "sources"), f"no source for '{fact}'; expected '{fact}: ID' with an id of 'sources'")
    for fact, source in entry.sources.items():
        if fact not in facts:
            raise RegistryError(file, (*where, "sources", fact), f"the entry has no field '{fact}'{_hint(fact, facts)}")
        _named(registry.sources, source, file, (*where, "sources", fact))


_Value = TypeVar("_Value")


def _named(entries: Mapping[str, _Value], key: str, file: str, where: tuple[str, ...]) -> _Value:
    """The entry that another one refers to."""
    if key not in entries:
        raise RegistryError(file, where, f"there is no '{key}'{_hint(key, entries)}")
    return entries[key]


def _find(entries: Mapping[str, AnyEntry], key: str, kind: str) -> AnyEntry:
    if key not in entries:
        near = _near(key, entries)
        hint = f" Did you mean {' or '.join(near)}?" if near else " `advanced-models models` lists what there is."
        raise UserError(f"The registry has no {kind} '{key}'.{hint}")
    return entries[key]


def _hint(key: str, known: Iterable[str]) -> str:
    near = _near(key, known)
    return f"; did you mean '{near[0]}'?" if near else ""


def _near(key: str, known: Iterable[str]) -> list[str]:
    """Up to three known ids that look like `key`, whatever their case."""
    by_lower_case = {name.lower(): name for name in known}
    return [by_lower_case[match] for match in difflib.get_close_matches(key.lower(), by_lower_case, n=3)]
