"""VRAMGuard: stands between loaders and the nodes that use them, says what the graph will need, and makes it fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import host
from .refusal import refusal
from .sockets import LOAD_PLAN

if TYPE_CHECKING:
    from ..memory.plan_values import Machine, Plan
    from ..memory.preflight import Preflight, Report

MOST_COMPONENTS = 8
WARN, FIX, BLOCK = "warn", "fix", "block"


class _AnyType(str):
    """A socket type that ComfyUI takes for equal to every other."""

    def __ne__(self, other: object) -> bool:
        return False

    __eq__ = str.__eq__
    __hash__ = str.__hash__


ANY = _AnyType("*")


class VRAMGuard:
    """Hands components on, unchanged or under a plan that fits."""

    CATEGORY = "Advanced Models"
    DESCRIPTION = (
        "Says before anything is loaded what this graph will need on the card, stage by stage, from the sizes, frames and batch of the "
        "nodes behind it. With 'fix' it hands the components on under a plan that fits; with 'block' it stops what would not."
    )
    SEARCH_ALIASES = ["vram", "memory", "out of memory", "oom", "does it fit", "low vram", "offload"]
    RETURN_TYPES = (*([ANY] * MOST_COMPONENTS), LOAD_PLAN, "STRING", "BOOLEAN")
    RETURN_NAMES = (*(f"component_{number}" for number in range(1, MOST_COMPONENTS + 1)), "load_plan", "report", "fits")
    OUTPUT_TOOLTIPS = (
        *(f"What is connected to component_{number}, under the plan." for number in range(1, MOST_COMPONENTS + 1)),
        "How each part is held and placed, with the need of each stage.",
        "The same in words.",
        "Whether the graph fits, with the plan where the mode is fix.",
    )
    FUNCTION = "guard"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "mode": (
                    [WARN, FIX, BLOCK],
                    {
                        "default": FIX,
                        "tooltip": "warn: only report. fix: hand on components under a plan that fits. block: stop what does not fit.",
                    },
                ),
                "budget": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": 1024.0,
                        "step": 0.5,
                        "tooltip": "GB of the card that may be used. 0: what is free, or can be freed, when the graph runs.",
                    },
                ),
                "quantise": (
                    "BOOLEAN",
                    {"default": True, "tooltip": "Whether a plan may hold weights in fewer bits than the loaders ask for."},
                ),
            },
            "optional": {
                "pins": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "advanced": True,
                        "tooltip": "What a plan must keep, one part a line: 'transformer: bf16', 'text encoder 2: cpu', 'vae: fp32, "
                        "resident'. Placements: resident, offload_model, offload_group (streamed), cpu.",
                    },
                ),
            }
            | {
                f"component_{number}": (ANY, {"tooltip": "Any component from a loader; connect the output of the same number."})
                for number in range(1, MOST_COMPONENTS + 1)
            },
            "hidden": {"prompt": "PROMPT", "unique_id": "UNIQUE_ID"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, pins: str = "") -> bool | str:
        from ..memory.pins import read_pins

        return refusal(lambda: read_pins(pins))

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> object:
        """The sizes behind the guard are none of its inputs: it runs again when they have changed, and only then."""
        prompt = host.current().running_prompt()
        if prompt is None:
            return float("nan")
        from ..memory.preflight import preflight_of_prompt

        flight = preflight_of_prompt(prompt)
        return repr((flight.parts, flight.notes, flight.facts.unknown))

    def guard(
        self,
        mode: str = FIX,
        budget: float = 0.0,
        quantise: bool = True,
        pins: str = "",
        prompt: Mapping[str, Any] | None = None,
        unique_id: str | None = None,
        **components: Any,
    ) -> dict[str, Any]:
        from ..memory.apply_plan import under_plan
        from ..memory.pins import check_pins, read_pins
        from ..memory.plan_values import Wishes
        from ..memory.preflight import preflight_of_prompt

        given = [components.get(f"component_{number}") for number in range(1, MOST_COMPONENTS + 1)]
        flight = preflight_of_prompt(prompt or {})
        machine = _machine(budget)
        if machine is None:
            return _answer(
                given, None, "There is no card here: models compute in main memory, and nothing is judged. Set a budget to try one.", True
            )
        wishes = Wishes(forbid_quantisation=not quantise, pinned=read_pins(pins))
        if flight.parts:
            check_pins(wishes.pinned, (part.name for part in flight.parts))
        report = flight.judge(machine, wishes, look_further=True)
        text = report_text(flight, report, fixed=mode == FIX)
        if report.verdict in ("fits", "tight", "unknown"):
            return _answer(given, report.plan, text, report.verdict != "unknown")
        if report.verdict == "fits_with_plan" and mode == FIX and report.plan is not None:
            return _answer([under_plan(value, flight, report.plan) for value in given], report.plan, text, True)
        if mode == BLOCK:
            blocker = host.current().blocker(text)
            return {"ui": {"text": [text]}, "result": (*([blocker] * MOST_COMPONENTS), report.plan, text, False)}
        return _answer(given, report.plan, text, False)


def report_text(flight: Preflight, report: Report, *, fixed: bool) -> str:
    """The report in words, one line a fact."""
    from ..memory.plan_values import GIB

    lines = _verdict(report, fixed)
    shown = report.plan if report.verdict != "does_not_fit" else report.as_it_is
    if shown is not None:
        for need in shown.needs:
            lines.append(
                f"{need.stage} ({need.part.replace('_', ' ')}): {need.device / GIB:.1f} GiB, of it weights {need.weights / GIB:.1f}, "
                f"activations {need.activations / GIB:.1f}"
            )
        lines.append(f"main memory: {shown.host / GIB:.1f} GiB of weights")
    if report.plan is not None and report.verdict == "fits_with_plan":
        lines += [f"{part.replace('_', ' ')}: {choice.describe()}" for part, choice in report.plan.choices.items()]
    if report.better is not None:
        lines.append(f"Better, {report.better.text}.")
    if report.nearest:
        lines.append(f"What would fit: {report.nearest.words()}.")
    lines += flight.notes
    lines += [f"not known: {name}" for name in flight.facts.unknown]
    return "\n".join(lines)


def _verdict(report: Report, fixed: bool) -> list[str]:
    from ..memory.plan_values import GIB

    machine, own = report.machine, report.as_it_is
    if own is None:
        return ["No model of this graph is in the registry: nothing can be said."]
    peak, room = f"{own.peak / GIB:.1f} GiB", f"{machine.device / GIB:.1f} GiB"
    if report.verdict == "fits":
        return [f"Fits: {peak} at most, of {room}."]
    if report.verdict == "tight":
        return [f"Fits with little to spare: {peak} of {room}."]
    needed = [f"As it is it needs {peak} on the card, of whose {room} {machine.usable / GIB:.1f} GiB can be filled safely."]
    if own.host > machine.usable_host:
        needed.append(f"It needs {own.host / GIB:.1f} GiB of main memory, of which {machine.usable_host / GIB:.1f} GiB can be used.")
    if report.verdict == "does_not_fit" or report.plan is None:
        return ["Does not fit.", *needed]
    done = "Changed to a plan that" if fixed else "A plan"
    return [*needed, f"{done} needs {report.plan.peak / GIB:.1f} GiB."]


def _machine(budget: float) -> Machine | None:
    """What the graph may use; None when there is no card and no budget."""
    from ..host.measure import main_memory
    from ..memory.plan_values import GIB, Machine

    main = main_memory()
    if budget > 0:
        return Machine.of(budget, main / GIB)
    free = host.current().device_memory()
    return None if free is None else Machine(free, main)


def _answer(values: list[Any], plan: Plan | None, text: str, fits: bool) -> dict[str, Any]:
    return {"ui": {"text": [text]}, "result": (*values, plan, text, fits)}
