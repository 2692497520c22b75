"""Where the files of a component are: a folder or a single file in ComfyUI's model folders first, the hub cache second.

This is the seam for every other source: whatever can name a folder with a config and weights for a component belongs in `_candidates`.
A folder that lacks files is passed over, so that it does not hide a whole copy further on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import host
from ..errors import UserError
from .bundled_configs import bundled_config
from .completeness import check_whole
from .component import AUTO_SOURCE, Component
from .file_tokenizers import has_tokenizer
from .picture_halves import is_language_half, lacks_pictures, picture_halves, remedy
from .registry import load_registry
from .single_files import files_of, find_file, fitting_files, holds, is_file_source, refuse
from .weight_files import BrokenFilesError

if TYPE_CHECKING:
    from .schema import ComponentEntry
    from .schema import Location as RepositoryFolder

MODELS_KIND = "diffusers"
"""ComfyUI's model folder for models in the diffusers layout: one folder a model, one subfolder a component."""


class MissingFilesError(UserError):
    """The component is on none of the places where it may be."""


@dataclass(frozen=True)
class ComponentFolder:
    """A folder that holds one component: its config, and its weights or vocabulary."""

    folder: Path
    label: str
    """The folder as a user knows it, without the machine's own path: `models/diffusers/FLUX.1-dev/vae`."""
    file: Path | None = None
    """The one file that holds the weights, and maybe the tokenizer, where that is how the user has them; the folder is then the one of the
    bundled config."""
    picture_half: Path | None = None
    """The file with the rest of the weights, where `file` is the language half of Qwen2.5-VL and exactly one fits it."""


def model_folders() -> list[str]:
    """Names of the models in the diffusers (or, as one component, transformers) layout that the user has, for a loader's menu."""
    roots = host.current().model_folders(MODELS_KIND)
    indices = [index for root in roots for pattern in ("*/model_index.json", "*/config.json") for index in root.glob(pattern)]
    return sorted({index.parent.name for index in indices}, key=str.lower)


def find(component: Component) -> ComponentFolder | None:
    """The first place that holds the whole of a component, if there is one."""
    return next((place for place, fault in _searched(component) if fault is None), None)


def locate(component: Component) -> ComponentFolder:
    """The first place that holds the whole of a component.

    Raises BrokenFilesError with what the first place lacks when none is whole, MissingFilesError with what to download when there is none.
    """
    faults = []
    for place, fault in _searched(component):
        if fault is None:
            return place
        faults.append(fault)
    raise faults[0] if faults else MissingFilesError(_advice(component))


def may_be_downloaded(component: Component) -> bool:
    """Whether the component comes from the hub when it is not here: all of `auto`, and what the chosen file does not hold."""
    return component.source == AUTO_SOURCE or (is_file_source(component.source) and _single_file(component) is None)


def check_lookalikes(component: Component) -> None:
    """Before a transformer is downloaded, ask about a file that may be it, and before Qwen2.5-VL about its language half. Raises
    MissingFilesError with the choices.

    Other text encoders have no look-alikes, and VAEs are downloaded in less time than it takes to answer.
    """
    if half := _half(component):
        command = f"advanced-models download {component.model} --component {component.role}"
        raise MissingFilesError(f"{half} Or run `{command}`, which brings it as a whole.")
    files = fitting_files(component) if component.role.startswith("transformer") else []
    if files:
        raise MissingFilesError(
            f"models/{files[0][0]} may be the {component.label}, but other models have the same layout and size: choose that file as "
            f"source if it is, or run `advanced-models download {component.model} --component {component.role}` if it is not."
        )


def read_config(component: Component) -> dict[str, Any]:
    """The component's config: the one beside its files where they are here, else the bundled one of the real model."""
    place = find(component)
    path = None if place is None else _config_in(place)
    if place is not None and path is not None:
        return _read_json(path, place.label)
    bundled = bundled_config(component.entry)
    if bundled is None:
        raise MissingFilesError(_advice(component))
    return _read_json(bundled, component.id)


def read_model_index(component: Component) -> dict[str, Any]:
    """The `model_index.json` beside the component's folder: what the whole pipeline is configured with. Empty where there is none."""
    place = find(component)
    index = None if place is None else place.folder.parent / "model_index.json"
    if place is None or index is None or not index.is_file():
        return {}
    return _read_json(index, place.label.rpartition("/")[0])


def _config_in(place: ComponentFolder) -> Path | None:
    paths = (place.folder / name for name in ("config.json", "scheduler_config.json"))
    return next((path for path in paths if path.is_file()), None)


def _searched(component: Component) -> Iterator[tuple[ComponentFolder, BrokenFilesError | None]]:
    """The places that exist, each with what keeps it from being whole."""
    for place in _candidates(component):
        if place.folder.is_dir() and (place.file is None or place.file.is_file()):
            try:
                check_whole(place, component.entry)
            except BrokenFilesError as error:
                yield place, error
            else:
                yield place, None


def _candidates(component: Component) -> Iterator[ComponentFolder]:
    """Where the component may be, in the order of the search; the folders need not exist."""
    entry = component.entry
    roots = host.current().model_folders(MODELS_KIND)
    if is_file_source(component.source):
        place = _single_file(component)
        if place is not None:
            yield place
            return
    elif component.source != AUTO_SOURCE:
        # A folder on disk has the layout of the model's own repository.
        subfolder = entry.location_in(component.model_entry.repository).subfolder
        for root in roots:
            yield _subfolder(root / component.source, subfolder, f"models/{MODELS_KIND}/{component.source}")
        return
    for location in entry.locations:
        for name in _folder_names(location.repository):
            for root in roots:
                yield _subfolder(root / name, location.subfolder, f"models/{MODELS_KIND}/{name}")
    files = list(_found_files(component))
    yield from (place for place in files if not lacks_pictures(place))
    for location in entry.locations:
        for snapshot in _cached_snapshots(location.repository):
            yield _subfolder(snapshot, location.subfolder, f"the hub cache's {location.repository}")
    if not _reads_pictures(component):
        yield from (place for place in files if lacks_pictures(place))


def _single_file(component: Component) -> ComponentFolder | None:
    """The chosen file, if it holds this component; None when it holds another part of the model, so that this one is found as `auto`.

    Raises UserError when the file holds no part of the model.
    """
    path, model = find_file(component.source), component.model_entry
    held = {entry.id: entry for entry in model.entries.values() if holds(path, entry)}
    if not held:
        raise refuse(component.source, path, model)
    if component.id in held:
        return _file_place(component.source, path, component.entry)
    reader = next((entry for entry in held.values() if entry.tokenizer == component.id and has_tokenizer(path)), None)
    return None if reader is None else _file_place(component.source, path, reader)


def _found_files(component: Component) -> Iterator[ComponentFolder]:
    """The files that can only be this component, and for a tokenizer those of its text encoder that carry one."""
    parts = (component, *(replace(component, id=e.id) for e in component.model_entry.entries.values() if e.tokenizer == component.id))
    for part in parts:
        for source, path in files_of(part):
            if part is component or has_tokenizer(path):
                yield _file_place(source, path, part.entry)


def _reads_pictures(component: Component) -> bool:
    return "processor" in component.model_entry.components


def _half(component: Component) -> str:
    """What to do about the language half that is here of a model that reads pictures; empty where there is none."""
    places = _found_files(component) if _reads_pictures(component) else ()
    return next((remedy(place) for place in places if lacks_pictures(place)), "")


def _file_place(source: str, path: Path, entry: ComponentEntry) -> ComponentFolder:
    config = bundled_config(entry)
    assert config is not None, "what a file holds is told by the bundled config"
    halves = picture_halves(path) if is_language_half(path) else []
    return ComponentFolder(config.parent, f"models/{source}", path, halves[0] if len(halves) == 1 else None)


def _folder_names(repository: str) -> list[str]:
    """What a repository's folder below the model folder may be called: like the repository itself, or like the registry's model."""
    ids = [model.id for model in load_registry().models.values() if model.repository == repository]
    return list(dict.fromkeys([repository.rpartition("/")[2], *ids]))


def _subfolder(folder: Path, subfolder: str | None, label: str) -> ComponentFolder:
    return ComponentFolder(folder / subfolder, f"{label}/{subfolder}") if subfolder else ComponentFolder(folder, label)


def _cached_snapshots(repository: str) -> list[Path]:
    """The snapshots of a repository in the hub cache: that of its main branch first, then the newest.

    An older one still holds what was not downloaded again since the repository changed.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    root = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    reference = root / "refs" / "main"
    main = reference.read_text(encoding="utf-8").strip() if reference.is_file() else ""
    return sorted(root.glob("snapshots/*"), key=lambda path: (path.name == main, path.stat().st_mtime), reverse=True)


def _read_json(path: Path, label: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{label}/{path.name} cannot be read ({error}): the file is damaged, download it again.") from error
    if not isinstance(config, dict):
        raise UserError(f"{label}/{path.name} is not a model's config: the file is damaged, download it again.")
    return config


def _advice(component: Component) -> str:
    """What is missing of the model, how much it is, under which terms, and the command that brings all of it."""
    place = component.entry.location_in(component.model_entry.repository)
    if component.source != AUTO_SOURCE and not is_file_source(component.source):
        return (
            f"models/{MODELS_KIND}/{component.source} has no folder {place.subfolder}, which should hold the {component.label}: "
            f"choose another source, or '{AUTO_SOURCE}'."
        )
    missing = _missing_in(place.repository, component)
    byte_count = sum(entry.bytes_at(location) for entry, location in missing)
    size = f" {byte_count / 1e9:.1f} GB in all," if byte_count else ""
    gate = (
        f"accept the licence at https://huggingface.co/{place.repository}, then `hf auth login`, then "
        if _is_gated(place.repository)
        else ""
    )
    files = " ".join(f'"{location.subfolder}/*"' if location.subfolder else '"*"' for _, location in missing)
    return (
        f"The {component.label} is neither in models/{MODELS_KIND}/{place.repository.rpartition('/')[2]} nor in the hub cache. "
        f"{_lookalike(component)}To get what the model lacks,{size} {gate}run `hf download {place.repository} --include {files}`."
    )


def _lookalike(component: Component) -> str:
    if half := _half(component):
        return f"{half} "
    files = fitting_files(component) if component.entry.parameters else []
    if not files:
        return ""
    return f"models/{files[0][0]} has its layout and size, as other models have: choose that file as source if it is this one. "


def _missing_in(repository: str, component: Component) -> list[tuple[ComponentEntry, RepositoryFolder]]:
    """The parts of the component's model that are nowhere here and can be had from a repository; the component itself is one of them."""
    entries = {entry.id: entry for entry in component.model_entry.entries.values()}
    absent = [(entry, entry.location_in(repository)) for entry in entries.values() if find(replace(component, id=entry.id)) is None]
    return [(entry, location) for entry, location in absent if location.repository == repository]


def _is_gated(repository: str) -> bool:
    return any(m.gated == "yes" for m in load_registry().models.values() if m.repository == repository)
