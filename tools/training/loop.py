"""What every training shares: a warmed-up cosine schedule, gradient clipping, and an average of the weights that is kept in the end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_MINUTES_BETWEEN_CHECKPOINTS = 3


@dataclass
class _Progress:
    """How far a training has come: what a checkpoint holds beside the optimiser's state."""

    step: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)


def train(
    parameters: Sequence[torch.nn.Parameter],
    loss_of_step: Callable[[], torch.Tensor],
    *,
    steps: int,
    rate: float,
    betas: tuple[float, float] = (0.9, 0.99),
    averaging: float = 0.998,
    hold: float = 0.0,
    log: Path | None = None,
    before_step: Callable[[float], None] | None = None,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Minimise a loss with AdamW; the parameters end as their running average (EMA). `log` gets the loss of every 100 steps.

    `rate` is reached after 100 steps, held for the share `hold` of all steps, and falls to a fiftieth along a cosine. `loss_of_step` draws
    its own batch. `before_step` is told the share of the steps that are done, `after_step` may put back what the optimiser must not
    change. With `log` a checkpoint is written beside it every few minutes, and a training that was stopped goes on from there, with
    batches other than it would have drawn.
    """
    import torch

    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=rate,
        betas=betas,
    )
    averages = [parameter.detach().clone() for parameter in parameters]
    checkpoint = None if log is None else log.with_suffix(".checkpoint")
    progress = _resume(checkpoint, parameters, averages, optimiser)
    losses: list[float] = []
    first, started = progress.step, time.monotonic()
    saved = started
    for step in range(first + 1, steps + 1):
        _set_rate(optimiser, rate * _share(step, steps, hold))
        if before_step is not None:
            before_step((step - 1) / steps)
        loss = loss_of_step()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if after_step is not None:
            after_step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, list(parameters), 1 - min(averaging, (step + 1) / (step + 15)))
        losses.append(loss.item())
        if step % 100 == 0 or step == steps:
            progress.history.append((step, sum(losses) / len(losses)))
            pace = (time.monotonic() - started) / (step - first)
            print(f"step {step} of {steps}: loss {progress.history[-1][1]:.5f}, {pace:.3f} s a step", flush=True)
            losses.clear()
            if checkpoint is not None and time.monotonic() - saved > 60 * _MINUTES_BETWEEN_CHECKPOINTS:
                progress.step, saved = step, time.monotonic()
                _save(checkpoint, progress, parameters, averages, optimiser)
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(json.dumps([[step, round(value, 6)] for step, value in progress.history]) + "\n", encoding="utf-8")


def _save(
    file: Path,
    progress: _Progress,
    parameters: Sequence[torch.nn.Parameter],
    averages: Sequence[torch.Tensor],
    optimiser: torch.optim.Optimizer,
) -> None:
    import torch

    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "step": progress.step,
        "history": progress.history,
        "parameters": [parameter.detach() for parameter in parameters],
        "averages": list(averages),
        "optimiser": optimiser.state_dict(),
    }
    torch.save(state, file.with_suffix(".part"))
    file.with_suffix(".part").replace(file)


def _resume(
    file: Path | None, parameters: Sequence[torch.nn.Parameter], averages: Sequence[torch.Tensor], optimiser: torch.optim.Optimizer
) -> _Progress:
    """Bring all back to the checkpoint, if there is one."""
    import torch

    if file is None or not file.is_file():
        return _Progress()
    state = torch.load(file, weights_only=True)
    with torch.no_grad():
        for parameter, average, kept, kept_average in zip(parameters, averages, state["parameters"], state["averages"], strict=True):
            parameter.copy_(kept)
            average.copy_(kept_average)
    optimiser.load_state_dict(state["optimiser"])
    print(f"goes on after step {state['step']}", flush=True)
    return _Progress(state["step"], state["history"])


def _share(step: int, steps: int, hold: float) -> float:
    if step < 100:
        return step / 100
    progress = step / steps
    if progress < hold:
        return 1.0
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - hold) / (1 - hold)))


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
