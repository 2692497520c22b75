"""Every choice in every plan that the planner emits is carried out by the store, and gives what its precision promises."""

from __future__ import annotations

import pytest
import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.store import Store
from advanced_models.memory.apply_plan import changed
from advanced_models.memory.estimate_values import Libraries
from advanced_models.memory.plan import plans
from advanced_models.memory.plan_values import Choice, Machine
from advanced_models.memory.preflight import model_preflight
from advanced_models.pipelines.tiles import use_vae
from devices import on_cpu, on_device
from test_precision import FARTHEST, FLUX, QWEN, WAN, models, result, store

__all__ = ["models", "store"]

CARDS = (4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 80)
MEMORIES = (16, 24, 32, 48, 64, 128)


def emitted(model: str) -> list[tuple[str, Choice]]:
    """Each (part, choice) of the plans for a model on usual machines."""
    parts = model_preflight(load_registry().model(model), Libraries()).parts
    found = {
        (part, choice): None
        for card in CARDS
        for memory in MEMORIES
        for plan in plans(parts, Machine.of(card, memory), libraries=Libraries())
        if not plan.missing
        for part, choice in plan.choices.items()
    }
    return sorted(found, key=repr)


EMITTED = [
    pytest.param(model, part, choice, id=f"{model}-{part}-{choice.describe()}")
    for model in (FLUX, WAN, QWEN)
    for part, choice in emitted(model)
]


def test_all_kinds_of_choices_are_emitted() -> None:
    choices = [parameter.values[2] for parameter in EMITTED]
    assert {choice.placement for choice in choices} == {"resident", "offload_model", "offload_group", "cpu"}
    assert {choice.precision for choice in choices} >= {"bf16", "fp8", "int8", "nf4"}
    assert {choice.tile is None for choice in choices} == {True, False}
    assert any(choice.resident_blocks for choice in choices)


def decoded(store: Store, vae: Component) -> torch.Tensor:
    """Pixels of latents that are smaller than any tile."""
    with use_vae(vae) as module, torch.inference_mode():
        channels = module.config.get("latent_channels") or module.config.z_dim
        frames = (1,) if "base_dim" in module.config else ()
        latents = torch.randn(1, channels, *frames, 8, 8, generator=torch.Generator().manual_seed(0)).to(module.dtype)
        pixels: torch.Tensor = module.decode(on_device(latents, store.device_of(vae)), return_dict=False)[0]
    return on_cpu(pixels).float()


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize(("model", "part", "choice"), EMITTED)
def test_it_runs_and_keeps_its_promise(store: Store, monkeypatch: pytest.MonkeyPatch, model: str, part: str, choice: Choice) -> None:
    monkeypatch.setattr("advanced_models.pipelines.tiles.STORE", store)
    plain = select_component(model, part)
    component = changed(plain, choice)
    compute = decoded if part == "vae" else result
    made = compute(store, component)
    assert component in [entry.component for entry in store.entries()]
    if component.device == "cpu":
        # On one device alone are bits the same.
        monkeypatch.setattr(StandaloneHost, "device", lambda _: torch.device("cpu"))
    here = component if choice.precision == "int8" else select_component(model, part, precision=choice.precision)  # type: ignore[arg-type]
    assert torch.equal(made, compute(store, here))
    if choice.precision in FARTHEST:
        assert 0 < distance(made, compute(store, plain)) < FARTHEST[choice.precision][part.startswith("text_encoder")]
