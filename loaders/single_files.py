"""Components that are one file of a ComfyUI model folder: which there are, and what each holds by its header alone.

A file's name says nothing here. Models of the same layout and size, such as FLUX.1 [dev] and Krea, have equal headers: a file of
one of them is used where the user chose it, and never found by itself. So have the VAEs of Wan 2.1 and Qwen-Image, which share the encoder
and differ in the values of the decoder alone: the wrong one would decode, and not as it should.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .bundled_configs import bundled_config
from .file_headers import PICKLES, SAFETENSORS, read_shapes
from .file_layouts import Layout, layout_for, layout_of, own_names
from .file_measures import Measures
from .file_memo import remembered
from .folder_files import FILE_KINDS, files_in
from .gguf_files import GGUF, gguf_architecture, gguf_context
from .gguf_names import PICTURE_HALF
from .picture_halves import is_language_half
from .registry import load_registry

if TYPE_CHECKING:
    from .component import Component
    from .schema import ComponentEntry, Model

SUFFIXES = (*SAFETENSORS, GGUF)
ARCHITECTURES = ("flux", "wan", "qwen_image", "qwen_vl")
"""Those whose parts are offered as files and found among them."""

_LORA_MARKS = ("lora_A", "lora_B", "lora_up", "lora_down", "lokr_", "hada_")


def is_file_source(source: str) -> bool:
    """Whether a component's source names a single file rather than a folder: `vae/ae.safetensors`."""
    kind, slash, name = source.partition("/")
    return bool(slash and name) and kind in FILE_KINDS


def file_sources(*architectures: str) -> list[str]:
    """The files that hold a part of a model of these architectures, or of any, as sources for a loader's menu. Reads headers alone."""
    wanted = set(parts_of(*architectures))
    return sorted((source for source, path in _all_files() if wanted & set(components_in(path))), key=str.lower)


def find_file(source: str) -> Path:
    """The file of a source. Raises UserError when none of the folders lists it, which is so for every name that leads out of them."""
    kind, _, name = source.partition("/")
    path = files_in(kind, (*SUFFIXES, *PICKLES)).get(name)
    if path is None:
        raise UserError(f"There is no file models/{source}: choose another source, or 'auto'.")
    return path


def files_of(component: Component) -> Iterator[tuple[str, Path]]:
    """The files that can only be this component, largest first: an unquantised one comes before its smaller copies."""
    for source, path in fitting_files(component):
        if components_in(path) == (component.id,):
            yield source, path


def fitting_files(component: Component) -> list[tuple[str, Path]]:
    """The files that have this component's layout and size, largest first; they may be of another model that has the same."""
    if component.model_entry.architecture not in ARCHITECTURES or layout_for(component.entry.class_name) is None:
        return []
    found = [file for file in _all_files() if component.id in components_in(file[1])]
    return sorted(found, key=lambda file: (-file[1].stat().st_size, file[0]))


def holds(path: Path, entry: ComponentEntry) -> bool:
    """Whether the file has the layout and size of a component. Raises UserError when its header cannot be read."""
    layout, measures = measure(path)
    return layout is not None and _fits(layout, measures, entry)


def check_experts(model: Model, source: str, source_2: str) -> None:
    """Refuse one file for both of a model's experts, whose headers are equal: it would be one of them twice."""
    if source == source_2 and is_file_source(source) and "transformer_2" in model.components:
        path = find_file(source)
        if all(holds(path, model.entries[role]) for role in ("transformer", "transformer_2")):
            raise UserError(
                f"models/{source} holds one of the two experts of {model.name}, and nothing in it says which: choose the file of the "
                "high-noise expert as source and that of the low-noise expert as source_2."
            )


def measure(path: Path) -> tuple[Layout | None, Measures]:
    """The layout of a file and the sizes it has, or None for a file that none is known of. Raises UserError as `read_shapes`."""
    shapes = read_shapes(path)
    named = {own: shapes[name] for name, own in own_names(list(shapes)).items()}
    layout = layout_of(named)
    try:
        return layout, layout.measure(named) | _context(path) if layout else {}
    except (KeyError, ValueError, IndexError):
        # The marks are there and the rest is not: cut up, or packed by a quantisation that this pack does not know.
        return None, {}


def _context(path: Path) -> Measures:
    """By which alone the language halves of Qwen2.5-VL differ from those of Qwen2-VL and Qwen2.5-Omni."""
    context = gguf_context(path) if is_language_half(path) else None
    return {} if context is None else {"longest context": context}


def refuse(source: str, path: Path, model: Model) -> UserError:
    """The sentence for a file that is no part of the model: what it is, and what it should be."""
    layout, measures = measure(path)
    if layout is None:
        return UserError(f"models/{source} {_unknown(path)}: choose another source, or 'auto'.")
    held = components_in(path)
    what = " or ".join(held[:2]) if held else f"an unknown {layout.words}"
    wanted = next((entry for entry in model.entries.values() if entry.class_name in layout.class_names), None)
    if wanted is None:
        return UserError(f"models/{source} holds {what}, which is no part of {model.name}: choose another source, or 'auto'.")
    expected = layout.expect(wanted.class_name, _config(bundled_config(wanted)))
    apart = [name for name, value in measures.items() if expected.get(name) != value]
    return UserError(
        f"models/{source} holds {what} ({_words(measures, apart)}); {model.name} needs {wanted.id} ({_words(expected, apart)}): "
        "choose another source, or 'auto'."
    )


def parts_of(*architectures: str) -> dict[str, ComponentEntry]:
    """Id -> component that can be a single file, of every model of these architectures (of all that are read so when none is given)."""
    models = [model for name in architectures or ARCHITECTURES for model in load_registry().models_of(name)]
    entries = {entry.id: entry for model in models for entry in model.entries.values()}
    return {name: entry for name, entry in entries.items() if layout_for(entry.class_name) is not None}


def _all_files() -> list[tuple[str, Path]]:
    return [(f"{kind}/{name}", path) for kind in FILE_KINDS for name, path in files_in(kind, SUFFIXES).items()]


def components_in(path: Path) -> tuple[str, ...]:
    """Ids of the components whose layout and size the file has; none for a file that cannot be read."""
    try:
        return _components(path)
    except OSError:
        return ()


@remembered
def _components(path: Path) -> tuple[str, ...]:
    """Every search asks this of every file."""
    try:
        layout, measures = measure(path)
    except (UserError, OSError):
        return ()
    return tuple(name for name, entry in parts_of().items() if layout is not None and _fits(layout, measures, entry))


def _fits(layout: Layout, measures: Measures, entry: ComponentEntry) -> bool:
    if entry.class_name not in layout.class_names:
        return False
    config = bundled_config(entry)
    if config is None:
        return False
    expected = layout.expect(entry.class_name, _config(config))
    return all(expected.get(name) == value for name, value in measures.items())


def _unknown(path: Path) -> str:
    shapes = read_shapes(path)
    if any(mark in name for name in shapes for mark in _LORA_MARKS):
        return "holds a LoRA, not a model"
    if gguf_architecture(path) == PICTURE_HALF:
        return "holds the picture half of a language model (mmproj), which is found where the file of the language half is chosen"
    if "blk.0.attn_q.weight" in shapes:
        return "holds a language model in llama.cpp's layout, in which this pack reads T5, UMT5 and Qwen2.5-VL alone"
    names = ", ".join(list(shapes)[:3])
    return f"holds no layout of a model that this pack knows (its tensors are called {names}, ...)" if shapes else "holds no tensors"


def _words(measures: Measures, names: list[str]) -> str:
    return ", ".join(f"{name}: {measures.get(name)}" for name in names[:3]) or "the same size"


def _config(path: Path | None) -> dict[str, Any]:
    return {} if path is None else _read_config(path)


@lru_cache(maxsize=256)
def _read_config(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config
