"""Wan's denoising loop: one for text, image and video to video, for one expert or two, whole or in parts.

It is the loop of diffusers' WanPipeline, WanImageToVideoPipeline and WanVideoToVideoPipeline, whose steps differ only in what is put
beside the latents. Being our own, it loads an expert when its first step comes, and stops and continues between any two steps.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import host
from ..errors import UserError
from ..loaders.store import STORE
from .step_cache import cached_steps, check_step_cache
from .steps import interruptible
from .wan_values import UnfinishedRun

if TYPE_CHECKING:
    import torch

    from ..host.base import Progress
    from ..loaders.component import Component
    from .wan_model import Layout, WanTransformer


@dataclass
class Run:
    """A run between two steps, on the computing device."""

    latents: torch.Tensor
    """Normalised, float32, [B, C, T, H, W]."""
    scheduler: Any
    timesteps: torch.Tensor
    """All of the run's, done and to be done."""
    step: int = 0
    """Steps done."""
    kept: tuple[torch.Tensor, torch.Tensor] | None = None
    """As in `UnfinishedRun`."""

    @property
    def finished(self) -> bool:
        return self.step == len(self.timesteps)


@dataclass(frozen=True)
class Conditions:
    """What guides every step, on the CPU."""

    prompt: torch.Tensor
    negative: torch.Tensor
    guidance: float
    guidance_2: float
    """Of the second expert."""
    image: torch.Tensor | None = None
    """[B, channels, T, H, W]: mask and latents of an image, put beside the latents."""
    clip: torch.Tensor | None = None


@dataclass(frozen=True)
class _Shift:
    """Consecutive steps of one expert."""

    expert: Component
    guidance: float
    steps: int


def new_schedule(
    scheduler: Any, steps: int, strength: float, shift: float | None, device: torch.device, changes: Mapping[str, Any] | None = None
) -> tuple[Any, torch.Tensor]:
    """A fresh scheduler and the timesteps of a run of which `strength` is left. Raises UserError where no step is left.

    `changes` are options of the scheduler that a LoRA was trained with; `shift` replaces the schedule's own shift towards the noisy end,
    where it has one.
    """
    name = next((key for key in ("flow_shift", "shift") if key in scheduler.config), None)
    if shift is not None and name is None:
        raise UserError(f"The {type(scheduler).__name__} has no shift to change: set shift to 0.")
    shifted = {} if shift is None or name is None else {name: shift}
    fresh = type(scheduler).from_config(scheduler.config, **{**(changes or {}), **shifted})
    fresh.set_timesteps(steps, device=device)
    # WanVideoToVideoPipeline.get_timesteps
    skipped = max(steps - min(int(steps * strength), steps), 0)
    timesteps = fresh.timesteps[skipped:]
    if len(timesteps) == 0:
        raise UserError(f"denoise {strength} of {steps} steps is less than one step: raise either.")
    fresh.set_begin_index(skipped)
    return fresh, timesteps


def add_noise(scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Latents as they would be at a timestep, on the way to `noise`."""
    timesteps = timestep.repeat(latents.shape[0])
    if hasattr(scheduler, "add_noise"):
        noised: torch.Tensor = scheduler.add_noise(latents, noise, timesteps)
    else:
        noised = scheduler.scale_noise(latents, timesteps, noise)
    return noised


def advance(run: Run, wan: WanTransformer, layout: Layout, conditions: Conditions, end: int) -> None:
    """Take the run to step `end`. An expert is loaded when its first step comes, and may be evicted after its last."""
    import torch

    bar = host.current().progress(end - run.step, layout.latent_format)
    first = run.step
    shifts = _shifts(run, wan, layout, conditions, end)
    check_step_cache(wan.transformer, max(shift.steps for shift in shifts))
    with torch.no_grad():
        for shift in shifts:
            with STORE.use(shift.expert) as (module,), interruptible(module), cached_steps(module, shift.expert, shift.steps):
                inputs = _Inputs(conditions, run.latents, module.dtype, shift.guidance)
                for _ in range(shift.steps):
                    host.current().raise_if_interrupted()
                    _step(run, module, inputs, expand_timesteps=layout.expand_timesteps)
                    _report(bar, run, first)
    if run.finished and run.kept is not None:
        kept, mask = run.kept
        run.latents = (1 - mask) * kept + mask * run.latents


def _shifts(run: Run, wan: WanTransformer, layout: Layout, conditions: Conditions, end: int) -> list[_Shift]:
    """Who works from the run's step on, until `end`."""
    if wan.transformer_2 is None or layout.boundary_ratio is None:
        return [_Shift(wan.transformer, conditions.guidance, end - run.step)]
    boundary = layout.boundary_ratio * run.scheduler.config.num_train_timesteps
    switch = int((run.timesteps >= boundary).sum())
    first = _Shift(wan.transformer, conditions.guidance, min(switch, end) - run.step)
    second = _Shift(wan.transformer_2, conditions.guidance_2, end - max(switch, run.step))
    return [shift for shift in (first, second) if shift.steps > 0]


class _Inputs:
    """The conditions as one expert takes them: on the device, in its dtype, one for every video of the batch."""

    def __init__(self, conditions: Conditions, latents: torch.Tensor, dtype: torch.dtype, guidance: float) -> None:
        device, count = latents.device, latents.shape[0]
        self.dtype = dtype
        self.guidance = guidance
        prompts = {"cond": conditions.prompt}
        if conditions.guidance > 1:  # the first expert's decides for both, as in WanPipeline
            prompts["uncond"] = conditions.negative
        self.prompts = {name: _repeat(embeds, count).to(device, dtype) for name, embeds in prompts.items()}
        self.image = None if conditions.image is None else _repeat(conditions.image, count).to(device)
        self.clip = None if conditions.clip is None else conditions.clip.to(device, dtype).repeat(count, 1, 1)


def _repeat(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """One for every video. Raises UserError when several do not fit."""
    if tensor.shape[0] == count:
        return tensor
    if tensor.shape[0] == 1:
        return tensor.repeat(count, *[1] * (tensor.ndim - 1))
    raise UserError(f"There are {tensor.shape[0]} prompts or images for {count} videos: give one, or one for each video.")


def _step(run: Run, module: Any, inputs: _Inputs, *, expand_timesteps: bool) -> None:
    import torch

    t = run.timesteps[run.step]
    latents = run.latents
    if inputs.image is not None:
        model_input = torch.cat([latents, inputs.image], dim=1).to(inputs.dtype)
    elif run.kept is not None:
        kept, mask = run.kept
        model_input = ((1 - mask) * kept + mask * latents).to(inputs.dtype)
    else:
        model_input = latents.to(inputs.dtype)
    if expand_timesteps:
        # One timestep for each token: 0 where the latents are kept. Tokens are 2x2 patches.
        mask = run.kept[1] if run.kept is not None else torch.ones_like(latents)
        timestep = (mask[0][0][:, ::2, ::2] * t).flatten().unsqueeze(0).expand(latents.shape[0], -1)
    else:
        timestep = t.expand(latents.shape[0])
    predictions = {}
    for name, embeds in inputs.prompts.items():
        # The step caches of diffusers keep what they remember of the two passes apart by this name.
        with module.cache_context(name) if hasattr(module, "cache_context") else nullcontext():
            predictions[name] = module(
                hidden_states=model_input,
                timestep=timestep,
                encoder_hidden_states=embeds,
                encoder_hidden_states_image=inputs.clip,
                return_dict=False,
            )[0]
    prediction = predictions["cond"]
    if "uncond" in predictions:
        prediction = predictions["uncond"] + inputs.guidance * (prediction - predictions["uncond"])
    run.latents = run.scheduler.step(prediction, t, latents, return_dict=False)[0]
    run.step += 1


def _report(bar: Progress, run: Run, first: int) -> None:
    def denoised() -> torch.Tensor:
        # UniPC keeps what it takes the finished latents to be (convert_model_output with predict_x0).
        outputs = getattr(run.scheduler, "model_outputs", None)
        shown: torch.Tensor = run.latents if outputs is None or outputs[-1] is None else outputs[-1]
        return shown

    bar.update(run.step - first, denoised)


def pause(run: Run) -> UnfinishedRun:
    """What is left of a run, off the device."""
    kept = None if run.kept is None else (run.kept[0].cpu(), run.kept[1].cpu())
    scheduler = _transfer(run.scheduler, "cpu")
    return UnfinishedRun(run.latents.cpu(), scheduler, run.timesteps.cpu(), run.step, kept)


def resume(unfinished: UnfinishedRun, device: torch.device) -> Run:
    """The run, to be continued on `device`; what was left stays as it is, for others may continue it too."""
    kept = None if unfinished.kept is None else (unfinished.kept[0].to(device), unfinished.kept[1].to(device))
    scheduler = _transfer(unfinished.scheduler, device)
    return Run(unfinished.latents.to(device), scheduler, unfinished.timesteps.to(device), unfinished.step, kept)


def _transfer(scheduler: Any, device: torch.device | str) -> Any:
    """An independent copy of a scheduler with the tensors that follow the latents on `device`; its tables stay where they are."""
    copied = copy.deepcopy(scheduler)
    for name in ("timesteps", "last_sample", "model_outputs", "timestep_list"):
        if hasattr(copied, name):
            setattr(copied, name, _moved(getattr(copied, name), device))
    return copied


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, list):
        return [_moved(part, device) for part in value]
    return value.to(device) if hasattr(value, "to") else value
