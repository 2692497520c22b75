"""Running out of memory in the middle of a run: what was loaded leaves the card, the figures are said, and one smaller plan is tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.store import STORE
from advanced_models.memory.out_of_memory import StageMemoryError
from advanced_models.memory.preflight_native import definitions
from advanced_models.pipelines import flux
from advanced_models.workflows.document import read_workflow

GUARDED = Path(__file__).parents[1] / "example_workflows" / "flux_vram_guard.json"
MODEL = "FLUX.1-schnell"


@pytest.fixture
def card(use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives the host a card of 16 GiB, on which a graph with a guard of some mode is running, and an empty store."""
    STORE.clear()

    def running(mode: str) -> None:
        nodes = read_workflow(GUARDED).prompt(definitions()).to_api()
        for node in nodes.values():
            if node["class_type"] == "VRAMGuard":
                node["inputs"]["mode"] = mode
        monkeypatch.setattr(StandaloneHost, "running_prompt", lambda self: nodes)
        monkeypatch.setattr(StandaloneHost, "device_memory", lambda self: 16 * 2**30)

    return running


class _Full:
    """Stands in for a card that is full: the first `times` calls of a transformer fail as torch fails."""

    def __init__(self, times: int) -> None:
        self.left, self.precisions = times, []  # type: ignore[var-annotated]

    def __call__(self, module: torch.nn.Module, *_: object) -> None:
        self.precisions.append({parameter.dtype for parameter in module.parameters()})
        if self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")


def paint(transformer: Component, full: _Full, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Two steps at 64x64 with a transformer that is full now and then."""
    from diffusers import FluxTransformer2DModel

    forward = FluxTransformer2DModel.forward

    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        full(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(FluxTransformer2DModel, "forward", guarded)
    clip, t5 = (select_component(MODEL, role) for role in ("text_encoder", "text_encoder_2"))
    with torch.inference_mode():
        return flux.denoise(transformer, flux.encode_prompt(clip, t5, "a fox"), width=64, height=64, seed=3, steps=2)


def test_it_says_the_stage_the_figures_and_the_plan(card: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    card("warn")
    released: list[int] = []
    monkeypatch.setattr(StandaloneHost, "release", lambda self, modules: released.append(len(modules)))
    with pytest.raises(StageMemoryError) as caught:
        paint(select_component(MODEL, "transformer"), _Full(1), monkeypatch)
    said = str(caught.value)
    assert "in the denoise stage" in said
    assert "16.0 GiB were available" in said
    assert "This plan needs less: transformer: " in said
    assert released and released[0] >= 3


def test_a_guard_that_may_fix_gets_one_more_try(card: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    card("fix")
    full = _Full(1)
    transformer = select_component(MODEL, "transformer")
    made = paint(transformer, full, monkeypatch)
    assert made.shape == (1, 16, 8, 8)
    # The run under the smaller plan, by itself.
    full.left = 0
    loaded = [entry.component for entry in STORE.entries() if entry.component.role == "transformer"]
    changed = next(component for component in loaded if component != transformer)
    assert torch.equal(paint(changed, full, monkeypatch), made)


def test_there_is_no_third_try_and_the_next_run_is_as_ever(card: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    card("fix")
    transformer = select_component(MODEL, "transformer")
    before = paint(transformer, _Full(0), monkeypatch)
    full = _Full(2)
    with pytest.raises(StageMemoryError, match="denoise stage"):
        paint(transformer, full, monkeypatch)
    assert full.left == 0
    assert torch.equal(paint(transformer, _Full(0), monkeypatch), before)


def test_without_a_graph_it_still_says_what_to_do(use_host: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StageMemoryError, match="smaller"):
        paint(select_component(MODEL, "transformer"), _Full(1), monkeypatch)
