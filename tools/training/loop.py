"""What every training shares: a warmed-up cosine schedule, gradient clipping, and an average of the weights that is kept in the end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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
    after_step: Callable[[], None] | None = None,
) -> None:
    """Minimise a loss with AdamW; the parameters end as their running average (EMA). `log` gets the loss of every 100 steps.

    `rate` is reached after 100 steps, held for the share `hold` of all steps, and falls to a fiftieth along a cosine. `loss_of_step` draws
    its own batch. `after_step` may put back what the optimiser must not change.
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
    history: list[tuple[int, float]] = []
    losses: list[float] = []
    started = time.monotonic()
    for step in range(1, steps + 1):
        _set_rate(optimiser, rate * _share(step, steps, hold))
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
            history.append((step, sum(losses) / len(losses)))
            print(f"step {step} of {steps}: loss {history[-1][1]:.5f}, {(time.monotonic() - started) / step:.3f} s a step", flush=True)
            losses.clear()
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(json.dumps([[step, round(value, 6)] for step, value in history]) + "\n", encoding="utf-8")


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
