"""How often the model folders are read, counted by Python's own audit events."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
from advanced_models.loaders.component import select_component
from advanced_models.loaders.sources import find
from advanced_models.memory.cost import cost_of
from advanced_models.memory.preflight import preflight_of_prompt
from gguf_writer import write_gguf
from safetensors.torch import save_file
from single_file_layouts import bfl_flux, stored
from single_file_models import Own

_counters: list[Counter[Path]] = []
"""Those that count at the moment: an audit hook stays for good."""


def _count(event: str, args: tuple[Any, ...]) -> None:
    if _counters and event in ("os.scandir", "os.listdir") and isinstance(args[0], str | os.PathLike):
        for counter in _counters:
            counter[Path(args[0])] += 1


sys.addaudithook(_count)


@contextmanager
def counted() -> Iterator[Counter[Path]]:
    """Folder -> how often it was read within the block."""
    counter: Counter[Path] = Counter()
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


GRAPH = {
    "1": {"class_type": "FluxLoader", "inputs": {"model": "FLUX.1-dev"}},
    "2": {"class_type": "WanLoader", "inputs": {"model": "Wan2.2-T2V-A14B"}},
    "3": {"class_type": "QwenImageLoader", "inputs": {"model": "Qwen-Image"}},
    "4": {"class_type": "LoRALoader", "inputs": {"transformer": ["1", 0], "lora": "one.safetensors", "strength": 1.0}},
    "5": {"class_type": "LoRALoader", "inputs": {"transformer": ["4", 0], "lora": "other.safetensors", "strength": 1.0}},
}


def test_a_graph_reads_each_model_folder_once(own: Own) -> None:
    folder = own("FLUX.1-dev")
    models = folder.parents[1]
    (models / "text_encoders" / "t5").mkdir()
    save_file(stored(folder, "text_encoder_2"), models / "text_encoders" / "t5" / "mine.safetensors")
    save_file(bfl_flux(stored(folder, "transformer")), models / "diffusion_models" / "mine.safetensors")
    (models / "loras").mkdir()
    shutil.rmtree(folder)
    with counted() as plain:
        assert find(select_component("FLUX.1-dev", "text_encoder_2")) is not None
    kinds = [models / kind for kind in ("diffusion_models", "text_encoders", "text_encoders/t5", "vae", "clip_vision")]
    assert all(plain[kind] for kind in kinds)
    with counted() as counter:
        preflight_of_prompt(GRAPH)
    assert {kind: counter[kind] for kind in (*kinds, models / "loras")} == dict.fromkeys((*kinds, models / "loras"), 1)
    parts = [select_component("FLUX.1-dev", role) for role in ("transformer", "text_encoder", "text_encoder_2", "vae")]
    with counted() as counter:
        cost_of(parts)
    assert {kind: counter[kind] for kind in kinds} == dict.fromkeys(kinds, 1)


def test_the_next_graph_sees_what_has_come(own: Own) -> None:
    folder = own("FLUX.1-dev")
    path = folder.parents[1] / "diffusion_models" / "mine.gguf"
    graph = {"1": {"class_type": "FluxLoader", "inputs": {"model": "FLUX.1-dev", "source": "diffusion_models/mine.gguf"}}}

    def precision() -> str:
        return next(part.precision for part in preflight_of_prompt(graph).parts if part.name == "transformer")

    assert precision() == "bf16"
    write_gguf(path, bfl_flux(stored(folder, "transformer")), "flux", gguf.GGMLQuantizationType.Q8_0)
    assert precision() == "gguf"
