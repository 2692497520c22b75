"""LoRAs count in the estimate: as many bytes as their files hold, on the transformers they act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import advanced_models.host
import pytest
from advanced_models.cli.check import known_definitions
from advanced_models.host.standalone import StandaloneHost
from advanced_models.memory.plan_values import Machine
from advanced_models.memory.preflight import Preflight, preflight_of_prompt
from advanced_models.workflows.document import read_workflow

EXAMPLES = Path(__file__).parents[1] / "example_workflows"
SIZES = {"style.safetensors": 700_000_000, "low.safetensors": 300_000_000}


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    """A host with two LoRA files that take no room on the disk."""
    folder = tmp_path / "models" / "loras"
    folder.mkdir(parents=True)
    for name, size in SIZES.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
    own = StandaloneHost.below(tmp_path)
    monkeypatch.setattr(advanced_models.host, "_standalone", own)
    return own


def flight(example: str, **lora: Any) -> Preflight:
    """The preflight of an example, with a LoRALoader before its sampler where one is given."""
    prompt = read_workflow(EXAMPLES / example).prompt(known_definitions()).to_api()
    if lora:
        sampler = next(node for node in prompt.values() if node["class_type"].endswith("Denoise"))
        prompt["90"] = {"class_type": "LoRALoader", "inputs": {"transformer": sampler["inputs"]["transformer"], "strength": 1.0} | lora}
        sampler["inputs"]["transformer"] = ["90", 0]
    return preflight_of_prompt(prompt)


def beside(flight: Preflight) -> dict[str, int]:
    return {part.name: part.beside for part in flight.parts if part.beside}


def test_a_file_adds_its_bytes() -> None:
    plain, changed = flight("flux_text_to_image.json"), flight("flux_text_to_image.json", lora="style.safetensors")
    assert beside(plain) == {}
    assert beside(changed) == {"transformer": SIZES["style.safetensors"]}
    machine = Machine.of(80, 256)
    before, after = plain.judge(machine).as_it_is, changed.judge(machine).as_it_is
    assert before is not None and after is not None
    assert after.peak - before.peak == SIZES["style.safetensors"]


def test_each_expert_has_its_own() -> None:
    both = flight("wan_a14b_text_to_video.json", lora="style.safetensors", low_noise_lora="low.safetensors")
    assert beside(both) == {"transformer": SIZES["style.safetensors"], "transformer_2": SIZES["low.safetensors"]}


def test_without_strength_there_is_none() -> None:
    assert beside(flight("flux_text_to_image.json", lora="style.safetensors", strength=0.0)) == {}
    assert beside(flight("flux_text_to_image.json", lora="none")) == {}


def test_what_is_not_here_is_said() -> None:
    missing = flight("flux_text_to_image.json", lora="gone.safetensors")
    assert beside(missing) == {}
    assert any("Not counted" in note and "gone.safetensors" in note for note in missing.notes)
