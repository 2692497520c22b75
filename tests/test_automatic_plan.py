"""Without a VRAMGuard the loaders' `auto` gets from the planner what fits; with one, or on the CPU, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import select_component
from advanced_models.loaders.store import STORE
from advanced_models.memory import automatic
from advanced_models.memory.automatic import automatic_plan
from advanced_models.memory.estimate import RESERVE
from advanced_models.memory.out_of_memory import StageMemoryError
from advanced_models.memory.plan_values import USABLE_SHARE
from advanced_models.memory.preflight_native import definitions
from advanced_models.pipelines import flux, wan_decoding
from advanced_models.pipelines.wan_values import Latents
from advanced_models.workflows.document import read_workflow

EXAMPLES = Path(__file__).parents[1] / "example_workflows"
MODEL = "FLUX.1-schnell"


class Card:
    """A card that a test gives the host, and the graph that runs on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def run(self, example: str, gib: float, **loader: Any) -> None:
        nodes = read_workflow(EXAMPLES / example).prompt(definitions()).to_api()
        for node in nodes.values():
            if node["class_type"].endswith("Loader"):
                node["inputs"] |= loader
        self._monkeypatch.setattr(StandaloneHost, "running_prompt", lambda self: nodes)
        self._monkeypatch.setattr(StandaloneHost, "device_memory", lambda self: int(gib * 2**30))


@pytest.fixture
def card(use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    STORE.clear()
    monkeypatch.setattr("advanced_models.memory.automatic.main_memory", lambda: 64 * 2**30)
    automatic._last.clear()
    yield Card(monkeypatch)
    automatic._last.clear()
    STORE.clear()


def paint() -> torch.Tensor:
    """Two steps at 64x64 with handles as FluxLoader's `auto` makes them."""
    transformer, clip, t5 = (select_component(MODEL, role) for role in ("transformer", "text_encoder", "text_encoder_2"))
    with torch.inference_mode():
        return flux.denoise(transformer, flux.encode_prompt(clip, t5, "a fox"), width=64, height=64, seed=3, steps=2)


def held() -> dict[str, tuple[str, str]]:
    return {entry.component.role: (entry.component.precision, entry.component.placement) for entry in STORE.entries()}


def test_on_a_small_card_the_stages_run_under_the_plan(card: Card) -> None:
    card.run("flux_text_to_image.json", 16)
    made = paint()
    chosen = automatic_plan()
    assert chosen is not None
    plan = chosen[1]
    transformer = plan.choices["transformer"]
    assert (transformer.precision, transformer.placement) == ("bf16", "offload_group")
    assert held()["transformer"] == ("bf16", "offload_group")
    card.run("flux_text_to_image.json", 80)
    assert torch.equal(paint(), made)  # streamed, and the same


def test_a_plan_is_kept_while_what_it_puts_on_the_card_fits(card: Card) -> None:
    card.run("flux_text_to_image.json", 16)
    chosen = automatic_plan()
    assert chosen is not None
    plan = chosen[1]
    needed = (plan.peak - RESERVE) / USABLE_SHARE / 2**30
    for gib, kept in ((needed + 0.01, True), (needed - 0.01, False)):
        card.run("flux_text_to_image.json", gib)
        again = automatic_plan()
        assert again is not None
        assert (again[1] is plan) == kept


def test_a_card_with_room_changes_nothing(card: Card) -> None:
    card.run("flux_text_to_image.json", 80)
    paint()
    assert automatic_plan() is None
    assert held()["transformer"] == ("bf16", "offload_model")


def test_a_precision_that_was_chosen_stays(card: Card) -> None:
    card.run("flux_text_to_image.json", 16, precision="bf16")
    chosen = automatic_plan()
    assert chosen is not None
    assert {name: choice.precision for name, choice in chosen[1].choices.items()} == dict.fromkeys(chosen[1].choices, "bf16")


def test_a_guard_decides_alone(card: Card) -> None:
    card.run("flux_vram_guard.json", 16)
    assert automatic_plan() is None


def test_a_plan_that_still_fits_is_kept(card: Card) -> None:
    card.run("flux_text_to_image.json", 16)
    first = automatic_plan()
    card.run("flux_text_to_image.json", 15.9)
    second = automatic_plan()
    assert first is not None and second is not None
    if first[1].peak <= 15.9 * 2**30 * 0.97:
        assert second[1] is first[1]
    card.run("flux_text_to_image.json", 6)
    third = automatic_plan()
    assert third is not None and third[1] != first[1]


def test_a_clip_that_runs_out_while_it_is_decoded(wan_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanDecoder3d

    vae = select_component("Wan2.1-T2V-1.3B", "vae")
    latents = Latents(torch.zeros(1, 16, 3, 4, 4))
    forward, left = WanDecoder3d.forward, [2]

    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(WanDecoder3d, "forward", guarded)
    pieces = wan_decoding.stream(vae, latents)
    assert next(pieces).shape == (1, 32, 32, 3)
    with pytest.raises(StageMemoryError, match="decode stage"):
        next(pieces)
