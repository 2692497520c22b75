"""A stand-in for ComfyUI's server: the real front end, our nodes and routes, and prompts that are played instead of run.

What ComfyUI answers is copied from its `server.py` as far as the page asks for it while it starts and runs a prompt. The content
policy is that of `--disable-api-nodes`, the strictest that ComfyUI sends.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from advanced_models.host.routes import register
from advanced_models.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from aiohttp import web

PACK = Path(__file__).parents[2]
PACK_NAME = "ComfyUI-AdvancedModels"
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self' data:; frame-src 'self'; object-src 'self';"
)

EMPTY_ANSWERS: Mapping[str, Any] = {
    "/embeddings": [],
    "/workflow_templates": {},
    "/userdata": [],
    "/v2/userdata": [],
    "/queue": {"queue_running": [], "queue_pending": []},
    "/history": {},
    "/jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 200, "total": 0, "has_more": False}},
    "/features": {},
    "/global_subgraphs": {},
    "/node_replacements": {},
    "/experiment/models": [],
    "/models": [],
    "/internal/logs": "",
    "/users": {"storage": "server", "migrated": True},
}

NATIVE_NODES: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "SaveImage": ({"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}, ()),
    "SaveVideo": ({"video": ("VIDEO",), "filename_prefix": ("STRING", {"default": "video"})}, ()),
    "PreviewImage": ({"images": ("IMAGE",)}, ()),
    "PreviewAny": ({"source": ("*",)}, ()),
    "LoadImage": ({"image": (["example.png"], {"image_upload": True})}, ("IMAGE", "MASK")),
    "CLIPTextEncode": ({"text": ("STRING", {"multiline": True}), "clip": ("CLIP",)}, ("CONDITIONING",)),
    # The graph that a fresh page starts with; it would open a dialog about missing nodes.
    "CheckpointLoaderSimple": ({"ckpt_name": (["model.safetensors"],)}, ("MODEL", "CLIP", "VAE")),
    "EmptyLatentImage": ({"width": ("INT", {}), "height": ("INT", {}), "batch_size": ("INT", {})}, ("LATENT",)),
    "KSampler": (
        {
            "model": ("MODEL",),
            "seed": ("INT", {"control_after_generate": True}),
            "steps": ("INT", {}),
            "cfg": ("FLOAT", {}),
            "sampler_name": (["euler"],),
            "scheduler": (["normal"],),
            "positive": ("CONDITIONING",),
            "negative": ("CONDITIONING",),
            "latent_image": ("LATENT",),
            "denoise": ("FLOAT", {}),
        },
        ("LATENT",),
    ),
    "VAEDecode": ({"samples": ("LATENT",), "vae": ("VAE",)}, ("IMAGE",)),
    "CLIPLoader": ({"clip_name": (["t5.safetensors"],)}, ("CLIP",)),
}
"""ComfyUI's own nodes that the example workflows or the tests need: required inputs, outputs."""

PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
"""A PNG of one pixel."""

Output = Mapping[str, Any]


class PageServer:
    """Serves one front end on a port of its own, in a thread, until `close`.

    `outputs` says what a node's class is said to have returned as its `ui`, when a prompt is queued: the value, or a function of node id
    and node. `view_folder` holds what `/view` serves. `prompts` are the prompts that the page sent.
    """

    def __init__(self, front_end: Path, view_folder: Path) -> None:
        self.view_folder = view_folder
        self.outputs: dict[str, Output | Callable[[str, Any], Output]] = {}
        self.prompts: list[dict[str, Any]] = []
        self.requests: list[str] = []
        """Paths below `/api` and `/advanced_models` that were asked for."""
        self._front_end = front_end
        self._settings: dict[str, Any] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner: web.AppRunner = self._wait(self._start())

    def close(self) -> None:
        self._wait(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def settings(self, **values: Any) -> None:
        """Set what the page reads when it starts, by the setting's id."""
        self._settings |= values

    def send(self, event: str, data: Mapping[str, Any]) -> None:
        """An event to every page, as `PromptServer.send_sync` sends it."""
        self._wait(self._send(event, data))

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _send(self, event: str, data: Mapping[str, Any]) -> None:
        for page in list(self._sockets.values()):
            await page.send_json({"type": event, "data": data})

    async def _start(self) -> web.AppRunner:
        ours = web.RouteTableDef()
        register(ours)
        app = web.Application(middlewares=[self._guard])
        for route in ours:
            assert isinstance(route, web.RouteDef)
            self._add(app, route.method, route.path, route.handler)
        for path, value in EMPTY_ANSWERS.items():
            self._add(app, "GET", path, _answer(value))
        self._add(app, "GET", "/ws", self._websocket)
        self._add(app, "GET", "/extensions", self._extensions)
        self._add(app, "GET", "/object_info", _answer(object_info()))
        self._add(app, "GET", "/settings", self._get_settings)
        self._add(app, "POST", "/settings", self._set_settings)
        self._add(app, "POST", "/settings/{id}", self._set_settings)
        self._add(app, "GET", "/system_stats", _answer(SYSTEM_STATS))
        self._add(app, "GET", "/i18n", _answer(locales()))
        self._add(app, "GET", "/view", self._view)
        self._add(app, "POST", "/prompt", self._prompt)
        self._add(app, "POST", "/interrupt", _answer({}))
        app.router.add_static(f"/extensions/{PACK_NAME}", PACK / "web")
        app.router.add_get("/", self._index)
        app.router.add_static("/", self._front_end)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner

    @staticmethod
    def _add(app: web.Application, method: str, path: str, handler: Any) -> None:
        # ComfyUI serves every route a second time below /api, which is where the page asks.
        for prefix in ("", "/api"):
            app.router.add_route(method, prefix + path, handler)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith(("/api/", "/advanced_models/")):
            self.requests.append(request.path.removeprefix("/api"))
        response: web.StreamResponse = await handler(request)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        page = web.WebSocketResponse()
        await page.prepare(request)
        name = request.rel_url.query.get("clientId") or uuid.uuid4().hex
        self._sockets[name] = page
        await page.send_json({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": name}})
        async for _ in page:
            pass
        self._sockets.pop(name, None)
        return page

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(self._front_end / "index.html")

    async def _extensions(self, request: web.Request) -> web.Response:
        core = [path.relative_to(self._front_end).as_posix() for path in self._front_end.glob("extensions/**/*.js")]
        own = [f"extensions/{PACK_NAME}/{path.relative_to(PACK / 'web').as_posix()}" for path in (PACK / "web").rglob("*.js")]
        return web.json_response([f"/{path}" for path in core + own])

    async def _get_settings(self, request: web.Request) -> web.Response:
        return web.json_response(self._settings)

    async def _set_settings(self, request: web.Request) -> web.Response:
        value = await request.json()
        self._settings |= {request.match_info["id"]: value} if "id" in request.match_info else value
        return web.Response()

    async def _view(self, request: web.Request) -> web.StreamResponse:
        query = request.rel_url.query
        path = self.view_folder / query.get("subfolder", "") / query["filename"]
        if not path.is_file() and query.get("type") == "input":
            return web.Response(body=PICTURE, content_type="image/png")  # the pictures that the examples load
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)  # answers ranges by itself

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        prompt_id = uuid.uuid4().hex
        self.prompts.append(body["prompt"])
        asyncio.get_running_loop().create_task(self._play(body["prompt"], prompt_id))
        return web.json_response({"prompt_id": prompt_id, "number": len(self.prompts), "node_errors": {}})

    async def _play(self, prompt: Mapping[str, Any], prompt_id: str) -> None:
        async def tell(event: str, **data: Any) -> None:
            await self._send(event, {**data, "prompt_id": prompt_id})

        await tell("execution_start")
        await tell("execution_cached", nodes=[])
        for node_id, node in prompt.items():
            await tell("executing", node=node_id, display_node=node_id)
            output = self.outputs.get(node["class_type"])
            if callable(output):
                # In a thread, so that it can use `send`.
                output = await asyncio.to_thread(output, node_id, node)
            if output is not None:
                await tell("executed", node=node_id, display_node=node_id, output=output)
        await tell("executing", node=None)
        await tell("execution_success")


SYSTEM_STATS = {
    "system": {
        "os": "posix",
        "ram_total": 1,
        "ram_free": 1,
        "comfyui_version": "0.33.0",
        "required_frontend_version": "0",
        "python_version": "3",
        "pytorch_version": "2",
        "embedded_python": False,
        "argv": [],
    },
    "devices": [],
}


def _answer(value: Any) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(value)

    return answer


def object_info() -> dict[str, Any]:
    """The nodes that the page knows: ours, described from their classes as ComfyUI does it, and the native ones."""
    ours = {name: _describe(name, node) for name, node in NODE_CLASS_MAPPINGS.items()}
    for name, (inputs, outputs) in NATIVE_NODES.items():
        node = type(name, (), {"INPUT_TYPES": classmethod(lambda _, given=inputs: {"required": given}), "RETURN_TYPES": outputs})
        node.OUTPUT_NODE = not outputs  # type: ignore[attr-defined]
        ours[name] = _describe(name, node)
    return ours


def _describe(name: str, node: Any) -> dict[str, Any]:
    inputs = node.INPUT_TYPES()
    described = {
        "input": inputs,
        "input_order": {kind: list(values) for kind, values in inputs.items()},
        "is_input_list": False,
        "output": node.RETURN_TYPES,
        "output_is_list": [False] * len(node.RETURN_TYPES),
        "output_name": getattr(node, "RETURN_NAMES", node.RETURN_TYPES),
        "name": name,
        "display_name": NODE_DISPLAY_NAME_MAPPINGS.get(name, name),
        "description": getattr(node, "DESCRIPTION", ""),
        "python_module": f"custom_nodes.{PACK_NAME}" if name in NODE_CLASS_MAPPINGS else "nodes",
        "category": getattr(node, "CATEGORY", "test"),
        "output_node": getattr(node, "OUTPUT_NODE", False),
        "search_aliases": getattr(node, "SEARCH_ALIASES", []),
    }
    if hasattr(node, "OUTPUT_TOOLTIPS"):
        described["output_tooltips"] = node.OUTPUT_TOOLTIPS
    return described


def locales() -> dict[str, Any]:
    """What ComfyUI's `/i18n` makes of a pack's `locales` folder (app/custom_node_manager.py): language -> contents, by file."""
    languages: dict[str, Any] = {}
    for folder in sorted((PACK / "locales").glob("*/")):
        read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
        extras = {name: read[name] for name in ("nodeDefs", "commands", "settings") if name in read}
        languages[folder.name] = {**read.get("main", {}), **extras}
    return languages
