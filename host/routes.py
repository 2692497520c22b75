"""What ComfyUI's server answers for the page of this pack."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from aiohttp import web

PREFLIGHT = "/advanced_models/preflight"
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

    async def answer(request: web.Request) -> web.Response:
        try:
            return web.json_response(preflight_of(await request.json()))
        except UserError as error:
            return web.json_response({"error": str(error)}, status=400)
        except ValueError as error:
            return web.json_response({"error": f"The body is no JSON: {error}."}, status=400)

    routes.post(PREFLIGHT)(answer)


def preflight_of(body: Any) -> dict[str, Any]:
    """The preflight of a prompt: `{"prompt": {...}, "vram": GB, "ram": GB}`; without sizes, for this machine.

    Raises:
        UserError: the body is not of this form.
    """
    from ..memory.plan_values import GIB, Machine
    from ..memory.preflight import preflight
    from ..memory.preflight_native import definitions
    from ..memory.preflight_report import describe
    from ..workflows.document import Document

    if not isinstance(body, Mapping) or not isinstance(body.get("prompt"), dict):
        raise UserError('Send {"prompt": {...}} with the prompt in its API form.')
    ram = _gigabytes(body, "ram") or _main_memory() / GIB
    vram = _gigabytes(body, "vram")
    flight = preflight(Document("the graph", body["prompt"], is_page=False).prompt(definitions()))
    machine = Machine.of(vram, ram) if vram else Machine(_device_memory(), int(ram * GIB))
    others = {card: flight.judge(Machine.of(card, ram)) for card in USUAL_CARDS}
    return describe("the graph", flight, flight.judge(machine), others)


def _gigabytes(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 100_000:
        raise UserError(f"'{name}' is {value!r}; give a number of GB above 0.")
    return float(value)


def _device_memory() -> int:
    from . import current

    free = current().device_memory()
    return _main_memory() if free is None else free


def _main_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
