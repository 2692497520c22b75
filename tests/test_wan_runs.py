"""Runs of WanDenoise: in parts, interrupted, with one expert in memory at a time, and what they report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from advanced_models.errors import Interrupted, UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import store as store_module
from advanced_models.loaders.store import STORE, Store
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.pipelines import wan_sampling
from devices import on_cpu, on_device
from wan_support import STEPS, clip, conditioned, decode, denoise, parts_of, picture

A14B = "Wan2.2-T2V-A14B"


@pytest.fixture(autouse=True)
def inference(wan_host: object) -> Iterator[None]:
    with torch.inference_mode():
        yield


def in_parts(parts: dict[str, Any], inputs: dict[str, Any], ends: list[int], **settings: Any) -> dict[str, Any]:
    latent, done = None, 0
    for end in ends:
        given = inputs if latent is None else inputs | {"latent": latent}
        latent, done = denoise(parts, given, start_step=done, end_step=end, **settings), end
    assert latent is not None
    return latent


@pytest.mark.parametrize("ends", [[1, STEPS], [2, STEPS], [3, 10000], [1, 2, 3, STEPS]], ids=str)
def test_a_run_in_parts_equals_the_whole(ends: list[int]) -> None:
    """The second of the four steps is the last of the high-noise expert."""
    parts = parts_of(A14B, "bf16")
    inputs = conditioned(parts)
    whole = denoise(parts, inputs)
    result = in_parts(parts, inputs, ends)
    assert torch.equal(result["samples"], whole["samples"])
    assert torch.equal(decode(parts["vae"], result), decode(parts["vae"], whole))


@pytest.mark.parametrize("model", ["Wan2.1-I2V-14B-480P", "Wan2.2-I2V-A14B", "Wan2.2-TI2V-5B"])
def test_a_run_from_an_image_in_parts(model: str) -> None:
    parts = parts_of(model)
    inputs = conditioned(parts, picture())
    assert torch.equal(in_parts(parts, inputs, [2, STEPS])["samples"], denoise(parts, inputs)["samples"])


def test_a_run_from_a_video_in_parts() -> None:
    parts = parts_of("Wan2.1-T2V-1.3B")
    inputs = conditioned(parts) | {"latent": NODE_CLASS_MAPPINGS["WanEncode"]().encode(parts["vae"], clip())[0]}
    settings = {"steps": 8, "denoise": 0.5}
    assert torch.equal(in_parts(parts, inputs, [3, 4], **settings)["samples"], denoise(parts, inputs, **settings)["samples"])


def test_an_unfinished_run_can_be_continued_twice() -> None:
    parts = parts_of(A14B)
    inputs = conditioned(parts)
    half = denoise(parts, inputs, end_step=2)
    first, second = (denoise(parts, inputs | {"latent": half}, start_step=2) for _ in range(2))
    assert torch.equal(first["samples"], second["samples"])


def test_the_experts_continue_with_other_conditions() -> None:
    """What a second prompt for the low-noise expert is for: the noise and the history stay, the prompt changes."""
    parts = parts_of(A14B)
    inputs = conditioned(parts)
    half = denoise(parts, inputs, end_step=2)
    swapped = {"positive": inputs["negative"], "negative": inputs["positive"], "latent": half}
    assert not torch.equal(denoise(parts, swapped, start_step=2)["samples"], denoise(parts, inputs)["samples"])


@pytest.mark.parametrize(
    ("settings", "change", "told"),
    [
        ({"start_step": 2}, lambda latent: {"samples": latent["samples"]}, "carries none"),
        ({"start_step": 2}, lambda latent: latent | {"samples": latent["samples"] * 1.1}, "carries none"),
        ({"start_step": 1}, lambda latent: latent, "set start_step to 2"),
        ({"start_step": 0}, lambda latent: latent, "set start_step to 2"),
        ({"start_step": 2, "steps": 8}, lambda latent: latent, "use the same model, steps, shift and denoise"),
        ({"start_step": 2, "shift": 9.0}, lambda latent: latent, "use the same model, steps, shift and denoise"),
    ],
    ids=["no run", "changed samples", "another step", "from the beginning", "other steps", "other shift"],
)
def test_what_cannot_be_continued(settings: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]], told: str) -> None:
    parts = parts_of("Wan2.1-T2V-1.3B")
    inputs = conditioned(parts)
    half = denoise(parts, inputs, end_step=2)
    with pytest.raises(UserError, match=told):
        denoise(parts, inputs | {"latent": change(half)}, **settings)


def test_video_to_video_with_two_experts_and_with_5b() -> None:
    """diffusers has no pipeline for these. At the last steps a video is nearly kept, and it is more so the fewer there are."""
    for model in (A14B, "Wan2.2-TI2V-5B"):
        parts = parts_of(model)
        (latent,) = NODE_CLASS_MAPPINGS["WanEncode"]().encode(parts["vae"], clip())
        inputs = conditioned(parts) | {"latent": latent}
        distances = [
            (denoise(parts, inputs, steps=20, denoise=strength, guidance=1.0)["samples"] - latent["samples"]).abs().mean().item()
            for strength in (0.05, 0.4, 1.0)
        ]
        assert distances == sorted(distances)
        assert distances[0] < 0.5 * distances[-1]


@pytest.mark.parametrize("strength", [0.6])
def test_video_to_video_with_two_experts_is_the_text_pipeline_from_noised_latents(wan_models_folder: Any, strength: float) -> None:
    """WanPipeline takes latents as they are at its first timestep; a scheduler that begins later makes it video to video."""
    from diffusers import UniPCMultistepScheduler

    class Late(UniPCMultistepScheduler):
        def set_timesteps(self, steps: int, device: Any = None, **options: Any) -> None:
            super().set_timesteps(10, device=device, **options)
            self.whole, self.timesteps = self.timesteps, self.timesteps[4:]

        def set_begin_index(self, begin_index: int = 0) -> None:
            super().set_begin_index(4)

        def step(self, *args: Any, **options: Any) -> Any:
            self.timesteps = self.whole
            return super().step(*args, **options)

    from diffusers import WanPipeline, WanTransformer3DModel

    folder = wan_models_folder / "diffusers" / A14B
    experts = {
        role: WanTransformer3DModel.from_pretrained(folder / role, torch_dtype=torch.float32) for role in ("transformer", "transformer_2")
    }
    parts = parts_of(A14B)
    (latent,) = NODE_CLASS_MAPPINGS["WanEncode"]().encode(parts["vae"], clip())
    inputs = conditioned(parts)
    result = denoise(parts, inputs | {"latent": latent}, steps=10, denoise=strength)

    scheduler = Late.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(10)
    pipeline = WanPipeline(tokenizer=None, text_encoder=None, vae=None, scheduler=scheduler, boundary_ratio=0.875, **experts)
    pipeline.set_progress_bar_config(disable=True)
    on_device(pipeline)
    mean, std = _statistics(folder)
    normalised = (on_device(latent["samples"]) - on_device(mean)) * on_device(1 / std)
    noise = on_device(torch.randn(normalised.shape, generator=torch.Generator().manual_seed(1234)))
    scheduler.set_begin_index(4)
    start = scheduler.add_noise(normalised, noise, scheduler.timesteps[:1])
    expected = pipeline(
        prompt_embeds=on_device(inputs["positive"][0][0]),
        negative_prompt_embeds=on_device(inputs["negative"][0][0]),
        latents=start,
        height=64,
        width=96,
        num_frames=9,
        num_inference_steps=6,
        guidance_scale=5.0,
        output_type="latent",
    ).frames
    assert torch.equal(on_cpu(result["samples"]), on_cpu(expected) / (1 / std) + mean)


def _statistics(folder: Any) -> tuple[torch.Tensor, torch.Tensor]:
    import json

    config = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
    mean, std = (torch.tensor(config[key]).view(1, 16, 1, 1, 1) for key in ("latents_mean", "latents_std"))
    return mean, std


class Recorder:
    """A progress bar that keeps what it is told."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.previews: list[torch.Tensor] = []

    def update(self, done: int, latents: Callable[[], torch.Tensor] | None = None) -> None:
        self.done.append(done)
        if latents is not None:
            self.previews.append(latents())


@pytest.mark.parametrize(("model", "latent_format"), [(A14B, "wan21"), ("Wan2.2-TI2V-5B", "wan22")])
def test_progress_and_preview(wan_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch, model: str, latent_format: str) -> None:
    parts = parts_of(model)
    inputs = conditioned(parts)
    recorder, totals = Recorder(), []
    monkeypatch.setattr(wan_host, "progress", lambda *call: totals.append(call) or recorder)
    result = denoise(parts, inputs)
    assert totals == [(STEPS, latent_format)]
    assert recorder.done == [1, 2, 3, 4]
    assert recorder.previews[0].shape == result["samples"].shape
    # No noise is left after the last step, so the preview is the result before it goes to VAE space.
    assert torch.allclose(on_cpu(recorder.previews[-1]), on_cpu(result["wan_run"].normalised), atol=1e-5)
    denoise(parts, inputs | {"latent": denoise(parts, inputs, end_step=3)}, start_step=3)
    assert recorder.done == [1, 2, 3, 4, 1, 2, 3, 1]


def test_progress_while_an_image_is_encoded(wan_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of("Wan2.2-I2V-A14B")
    recorder, totals = Recorder(), []
    monkeypatch.setattr(wan_host, "progress", lambda *call: totals.append(call) or recorder)
    conditioned(parts, picture())
    assert totals == [(3,)]
    assert recorder.done == [1, 2, 3]


@pytest.mark.parametrize("at", [3, 11], ids=["high-noise expert", "low-noise expert"])
def test_stops_within_a_step_and_runs_again_unchanged(wan_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """A step is two passes through two blocks; the request comes within the first block of the pass, the second is never reached."""
    parts = parts_of(A14B)
    inputs = conditioned(parts)
    expected = denoise(parts, inputs)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            wan_host.interrupt()

    with STORE.use(*parts["transformer"].components) as experts:
        hooks = [block.register_forward_hook(count) for expert in experts for block in expert.blocks]
        with pytest.raises(Interrupted):
            denoise(parts, inputs)
        for hook in hooks:
            hook.remove()
    assert calls == at
    assert all(entry.users == 0 for entry in STORE.entries())
    assert torch.equal(denoise(parts, inputs)["samples"], expected["samples"])


def test_stops_while_a_video_is_encoded(wan_host: StandaloneHost) -> None:
    parts = parts_of("Wan2.1-T2V-1.3B")
    encode = NODE_CLASS_MAPPINGS["WanEncode"]()
    (expected,) = encode.encode(parts["vae"], clip())
    with STORE.use(parts["vae"]) as (vae,):
        hook = vae.encoder.register_forward_hook(lambda *_: wan_host.interrupt())
        with pytest.raises(Interrupted):
            encode.encode(parts["vae"], clip())
        hook.remove()
    assert torch.equal(encode.encode(parts["vae"], clip())[0]["samples"], expected["samples"])


class CountingStore(Store):
    """A store that forgets a module as soon as another is needed, as one does that is short of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.together = 0

    def _make_room(self, place: Any) -> None:
        self.evict(self.byte_count)
        self.together = max(self.together, len(self.entries()) + 1)


def test_one_expert_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(A14B)
    inputs = conditioned(parts)
    expected = denoise(parts, inputs)
    store = CountingStore()
    monkeypatch.setattr(wan_sampling, "STORE", store)
    assert torch.equal(denoise(parts, inputs)["samples"], expected["samples"])
    assert (store.loads, store.together) == (2, 1)
    assert store_module.STORE is not store


@pytest.mark.parametrize(("part", "role"), [({"end_step": 2}, "transformer"), ({"start_step": 2}, "transformer_2")])
def test_a_part_loads_the_expert_that_it_needs(monkeypatch: pytest.MonkeyPatch, part: dict[str, int], role: str) -> None:
    parts = parts_of(A14B)
    inputs = conditioned(parts)
    if "start_step" in part:
        inputs = inputs | {"latent": denoise(parts, inputs, end_step=2)}
    store = Store()
    monkeypatch.setattr(wan_sampling, "STORE", store)
    denoise(parts, inputs, **part)
    assert [entry.component.role for entry in store.entries()] == [role]
