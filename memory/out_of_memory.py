"""When a stage runs out of memory all the same: give back what was loaded, say what was predicted, and try once more with less."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .. import host
from ..errors import UserError, first_line
from ..host.measure import main_memory
from ..loaders.store import STORE
from .apply_plan import under_plan_all
from .automatic import automatic_plan, planned
from .graph_downloads import check_downloads

if TYPE_CHECKING:
    from .estimate_values import Stage
    from .plan_values import Plan

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_SHARES = (0.85, 0.7, 0.55, 0.4)
"""Of the memory that was free: what the next plan may need. The prediction was too low, so the same budget would choose the same plan."""


class StageMemoryError(UserError):
    """A stage did not fit, and nothing that was tried helped."""


def within_memory(stage: Stage) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates the function of a stage: what the graph lacks is checked before the first download, the function runs under the automatic
    plan, and an out-of-memory error in it takes what the store loaded off the device.

    Where a VRAMGuard in the graph may change the plan (mode fix), the function runs once more with its handles under a plan that needs
    less. Otherwise, and when that does not help, StageMemoryError says the stage, the need that was predicted, the memory that was
    available, and the plan that would have fitted.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @streams_within_memory(stage)
        def in_one_piece(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
            yield function(*args, **kwargs)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return next(in_one_piece(*args, **kwargs))

        return run

    return decorate


def streams_within_memory(stage: Stage) -> Callable[[Callable[P, Iterator[R]]], Callable[P, Iterator[R]]]:
    """The same for a stage that hands its result over piece by piece; it starts anew only while nothing has been handed over."""

    def decorate(function: Callable[P, Iterator[R]]) -> Callable[P, Iterator[R]]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
            import torch

            check_downloads((*args, *kwargs.values()))
            args, kwargs = planned(args, kwargs)  # type: ignore[assignment]
            started = False
            try:
                for piece in function(*args, **kwargs):
                    started = True
                    yield piece
                return
            except torch.OutOfMemoryError as error:
                log.warning("out of memory in the %s stage: %s", stage, first_line(error))
            # Beyond the handler: the error holds the frames, and with them the tensors of the stage.
            failure = _Failure(stage)
            if started:
                raise StageMemoryError(failure.message)
            again, more = failure.arguments(args, kwargs)
            try:
                yield from function(*again, **more)  # type: ignore[arg-type]
                return
            except torch.OutOfMemoryError as error:
                log.warning("out of memory again: %s", first_line(error))
            STORE.leave_device()
            raise StageMemoryError(failure.message)

        return run

    return decorate


class _Failure:
    """What is known of a stage that ran out of memory, once what was loaded has left the device."""

    def __init__(self, stage: Stage) -> None:
        from .plan_values import Machine
        from .preflight import preflight_of_prompt

        STORE.leave_device()
        self.stage = stage
        prompt = host.current().running_prompt()
        self.may_fix = prompt is not None and _guard_may_fix(prompt)
        self.flight = None if prompt is None else preflight_of_prompt(prompt)
        self.available = host.current().device_memory()
        self.plan: Plan | None = None
        self.predicted: int | None = None
        if self.flight is not None and self.flight.parts and self.available is not None:
            report = self.flight.judge(Machine(self.available, main_memory()))
            automatic = automatic_plan()
            running = report.plan if self.may_fix and report.plan is not None else report.as_it_is
            running = automatic[1] if automatic is not None else running
            if running is not None:
                self.predicted = max((need.device for need in running.needs if need.stage == stage), default=None)
                self.plan = self._smaller(running)

    def _smaller(self, running: Plan) -> Plan | None:
        """The best plan whose need in this stage is clearly below that of the one that failed."""
        from .plan import plans
        from .plan_values import Machine

        assert self.flight is not None and self.available is not None
        for share in _SHARES:
            machine = Machine(int(share * self.available), main_memory())
            found = plans(self.flight.parts, machine, backends=self.flight.backends, libraries=self.flight.libraries)
            plan = next((plan for plan in found if not plan.missing and plan.choices != running.choices), None)
            if plan is not None:
                return plan
        return None

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the stage with their handles under the smaller plan. Raises StageMemoryError where the plan may not change."""
        if not self.may_fix or self.plan is None or self.flight is None:
            raise StageMemoryError(self.message)
        log.warning("trying once more under another plan: %s", self.words)
        return under_plan_all(args, kwargs, self.flight, self.plan)

    @property
    def words(self) -> str:
        if self.plan is None:
            return ""
        return "; ".join(f"{part.replace('_', ' ')}: {choice.describe()}" for part, choice in self.plan.choices.items())

    @property
    def message(self) -> str:
        from .plan_values import GIB

        known = ""
        if self.predicted is not None and self.available is not None:
            known = f" {self.predicted / GIB:.1f} GiB were predicted for it, {self.available / GIB:.1f} GiB were available."
        remedy = f" This plan needs less: {self.words}. A VRAMGuard with mode fix applies such a plan." if self.plan is not None else ""
        nothing = " Make the picture or the clip smaller, or choose a smaller model." if self.plan is None else ""
        return f"The card ran out of memory in the {self.stage} stage.{known} What was loaded has left the card.{remedy}{nothing}"


def _guard_may_fix(prompt: Mapping[str, Any]) -> bool:
    return any(
        node.get("class_type", "").startswith("VRAMGuard") and node.get("inputs", {}).get("mode") == "fix" for node in prompt.values()
    )
