"""What ComfyUI's server answers for the page of this pack."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from . import current
from .measure import main_memory, measured_peak, memory, start_measuring
from .video_routes import VIDEO_ROUTES

if TYPE_CHECKING:
    from aiohttp import web

PREFLIGHT = "/advanced_models/preflight"
COST = "/advanced_models/cost"
STATUS = "/advanced_models/status"
FREE = "/advanced_models/free"
PEAK = "/advanced_models/peak"
MODELS = "/advanced_models/models"
USUAL_CARDS = (8, 12, 16, 24)


def add_routes() -> None:
    """Add the pack's routes to the running server; nothing where ComfyUI runs without one."""
    module = sys.modules.get("server")
    server = getattr(getattr(module, "PromptServer", None), "instance", None)
    if server is not None:
        register(server.routes)


def register(routes: web.RouteTableDef) -> None:
    """Add the pack's routes to a table of routes."""
    from aiohttp import web

    def serve(path: str, answer_to: Callable[[Any], Any], *, reads: bool = True) -> None:
        async def handle(request: web.Request) -> web.Response:
            try:
                body = await request.json() if reads else None
                # In a thread: folders are searched, and the server has other pages to serve.
                return web.json_response(await asyncio.to_thread(answer_to, body))
            except UserError as error:
                return web.json_response({"error": str(error)}, status=400)
            except ValueError as error:
                return web.json_response({"error": f"The body is no JSON: {error}."}, status=400)

        routes.route("POST" if reads else "GET", path)(handle)

    serve(PREFLIGHT, preflight_of)
    serve(COST, cost_of_node)
    serve(MODELS, lambda _: models(), reads=False)
    serve(STATUS, lambda _: {"memory": memory(), "store": loaded(), "downloads": downloads()}, reads=False)
    serve(FREE, lambda body: {"freed_bytes": free(body)})
    serve(PEAK, lambda _: start_measuring())
    serve(PEAK, lambda _: {"peak_bytes": measured_peak()}, reads=False)
    for path, answer_to in VIDEO_ROUTES.items():
        serve(path, answer_to)


def cost_of_node(body: Any) -> dict[str, Any]:
    """What a loader would cost with these values of its inputs: `{"node": "FluxLoader", "inputs": {...}}`.

    Raises:
        UserError: the body is not of this form, or the node refuses the values.
    """
    from ..memory.cost import cost_of
    from ..nodes import NODE_CLASS_MAPPINGS
    from ..nodes.loader import Loader
    from .registration import SUFFIX

    if not isinstance(body, Mapping) or not isinstance(body.get("inputs"), Mapping):
        raise UserError('Send {"node": "FluxLoader", "inputs": {...}}.')
    node: Any = NODE_CLASS_MAPPINGS.get(str(body.get("node")).removesuffix(SUFFIX))
    if node is None or not issubclass(node, Loader):
        raise UserError(f"{body.get('node')!r} is no loader of this pack.")
    declared = node.INPUT_TYPES()
    names = {*declared["required"], *declared.get("optional", {})}
    inputs = {name: value for name, value in body["inputs"].items() if name in names}
    return cost_of(node().select(**inputs))


def models() -> list[dict[str, Any]]:
    """Every model of the registry by architecture."""
    from ..memory.cost import catalogue

    return catalogue()


def loaded() -> list[dict[str, Any]]:
    """What the store holds, least recently used first; `id` names an entry for `free` and says nothing else."""
    from ..loaders.store import STORE

    now = time.monotonic()
    return [
        {
            "id": str(id(entry)),
            "component": entry.component.label,
            "precision": entry.component.precision,
            "bytes": entry.byte_count,
            "idle_seconds": round(now - entry.last_used),
            "in_use": entry.users > 0,
        }
        for entry in STORE.entries()
    ]


def downloads() -> list[dict[str, Any]]:
    """The downloads in progress: repository, file, bytes done and in all, bytes per second."""
    from ..loaders.downloads import active

    return [asdict(download) for download in active()]


def free(body: Any) -> int:
    """Drop one component: `{"id": "..."}` of `loaded`; returns the bytes freed.

    Raises:
        UserError: there is no such entry any more, or a node is computing with it.
    """
    from ..loaders.store import STORE

    wanted = body.get("id") if isinstance(body, Mapping) else None
    entry = next((entry for entry in STORE.entries() if str(id(entry)) == wanted), None)
    if entry is None:
        raise UserError("This component is no longer loaded.")
    if not STORE.drop(entry):
        raise UserError(f"The {entry.component.label} is in use: it can be freed when the node that computes with it is done.")
    return entry.byte_count


def preflight_of(body: Any) -> dict[str, Any]:
    """The preflight of a prompt: `{"prompt": {...}, "vram": GB, "ram": GB, "quantise": bool, "cards": bool}`; without sizes, for this
    machine. `cards` false leaves out the verdicts for cards of the usual sizes.

    Raises:
        UserError: the body is not of this form.
    """
    from ..memory.plan_values import GIB, Machine, Wishes
    from ..memory.preflight import preflight_of_prompt
    from ..memory.preflight_report import describe
    from ..memory.preflight_stage import tightest_stage

    if not isinstance(body, Mapping) or not isinstance(body.get("prompt"), dict):
        raise UserError('Send {"prompt": {...}} with the prompt in its API form.')
    ram = _gigabytes(body, "ram") or main_memory() / GIB
    vram = _gigabytes(body, "vram")
    flight = preflight_of_prompt(body["prompt"])
    machine = Machine.of(vram, ram) if vram else Machine(_device_memory(), int(ram * GIB))
    others = {card: flight.judge(Machine.of(card, ram)) for card in USUAL_CARDS if body.get("cards", True)}
    report = flight.judge(machine, Wishes(forbid_quantisation=body.get("quantise") is False), look_further=True)
    shown = report.plan if report.verdict != "does_not_fit" else report.as_it_is
    return {
        **describe("the graph", flight, report, others),
        "on_card": bool(vram) or current().device_memory() is not None,
        "stage": shown and tightest_stage(shown, flight.parts),
    }


def _gigabytes(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 100_000:
        raise UserError(f"'{name}' is {value!r}; give a number of GB above 0.")
    return float(value)


def _device_memory() -> int:
    free = current().device_memory()
    return main_memory() if free is None else free
