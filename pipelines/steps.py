"""What every denoising loop shares: progress after each step, a preview, and interruption within a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import host

if TYPE_CHECKING:
    import torch

    from ..host.base import Progress

StepCallback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
"""diffusers' `callback_on_step_end(pipeline, step, timestep, tensors)`; the dict it returns replaces tensors of the loop."""


@contextmanager
def interruptible(transformer: torch.nn.Module) -> Iterator[None]:
    """Within the block, a request to stop takes effect before the transformer's next block runs, not after the step.

    The exception that the host raises leaves the pipeline; the step caches of diffusers are reset then, since only a loop that ends
    by itself resets them.
    """
    from torch.nn import ModuleList

    def check(*_: object) -> None:
        host.current().raise_if_interrupted()

    blocks = [block for child in transformer.children() if isinstance(child, ModuleList) for block in child]
    hooks = [block.register_forward_pre_hook(check) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        reset = getattr(transformer, "_reset_stateful_cache", None)
        if reset is not None:
            reset()


def report_steps(to_latents: Callable[[torch.Tensor], torch.Tensor], latent_format: str) -> StepCallback:
    """A callback for flow-matching pipelines that moves the host's progress bar and shows the picture as it stands.

    `to_latents` turns the loop's latents into [B, C, H, W]; the loop must hand over `latents` and `noise_pred`.
    """
    bar: Progress | None = None

    def after_step(pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal bar
        if bar is None:
            bar = host.current().progress(pipeline.num_timesteps, latent_format)

        def denoised() -> torch.Tensor:
            # A flow model predicts noise minus picture, so the picture lies sigma steps back along the prediction
            # (FlowMatchEulerDiscreteScheduler.step with sigma_next = 0).
            scheduler = pipeline.scheduler
            sigma = scheduler.sigmas[scheduler.step_index].to(tensors["latents"])
            return to_latents(tensors["latents"] - sigma * tensors["noise_pred"])

        bar.update(step + 1, denoised)
        return {}

    return after_step
