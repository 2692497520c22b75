"""A real ComfyUI for tests: found through COMFYUI_PATH, started on a folder of the test's own, and asked over HTTP as the page asks it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACK = Path(__file__).parent.parent
START_UP_SECONDS = 180
RUN_SECONDS = 300


def checkouts() -> list[Path]:
    """The ComfyUI checkouts to test against: those of COMFYUI_PATH (several may be given, as in PATH), else ~/ComfyUI."""
    named = os.environ.get("COMFYUI_PATH", "")
    paths = [Path(path) for path in named.split(os.pathsep) if path] or [Path.home() / "ComfyUI"]
    return [path for path in paths if (path / "main.py").is_file()]


def python() -> str:
    """The interpreter that has ComfyUI's requirements: COMFYUI_PYTHON, else the one that runs the tests."""
    return os.environ.get("COMFYUI_PYTHON", sys.executable)


class RefusedError(Exception):
    """ComfyUI did not accept a prompt; `errors` is its answer by node id."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.errors: dict[str, Any] = answer.get("node_errors", {})
        super().__init__(json.dumps(answer))


class Server:
    """A running ComfyUI."""

    def __init__(self, port: int, base: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.base = base

    def ask(self, path: str, body: object | None = None) -> Any:
        """GET, or POST with a JSON body; the answer as JSON, None when it is empty."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def run(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run an API-format prompt to its end and return its history entry. Raises RefusedError when it is not accepted."""
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
        try:
            prompt_id = self.ask("/prompt", {"prompt": prompt, "extra_data": extra})["prompt_id"]
        except urllib.error.HTTPError as error:
            raise RefusedError(json.loads(error.read())) from error
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            history = self.ask(f"/history/{prompt_id}")
            if history:
                entry: dict[str, Any] = history[prompt_id]
                return entry
            time.sleep(0.2)
        raise TimeoutError(f"ComfyUI did not finish within {RUN_SECONDS} s")

    def output_files(self, entry: dict[str, Any]) -> list[Path]:
        """The files that a finished prompt reports."""
        files = [
            item
            for node in entry["outputs"].values()
            for items in node.values()
            for item in items
            if isinstance(item, dict) and item.get("type") == "output"
        ]
        return [self.base / "output" / item["subfolder"] / item["filename"] for item in files]


@contextmanager
def running(checkout: Path, base: Path, models: Path, front_end: Path | None = None) -> Iterator[Server]:
    """Start a checkout whose only custom node pack is this one, and stop it afterwards. `base` takes all its files, `front_end` holds
    the page; without one, the page of the checkout's environment is served.
    """
    (base / "custom_nodes").mkdir(parents=True)
    (base / "custom_nodes" / "ComfyUI-AdvancedModels").symlink_to(PACK)
    (base / "models").mkdir()
    (base / "models" / "diffusers").symlink_to(models / "diffusers")
    (base / "input").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--cpu", "--listen", "127.0.0.1", "--port", str(port), "--base-directory", str(base)]
    options += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--disable-auto-launch"]
    options += ["--front-end-root", str(front_end)] if front_end else []
    with (base / "server.log").open("w") as log:
        process = subprocess.Popen([python(), "main.py", *options], cwd=checkout, stdout=log, stderr=subprocess.STDOUT)
    server = Server(port, base)
    try:
        deadline = time.monotonic() + START_UP_SECONDS
        while True:
            try:
                server.ask("/system_stats")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("ComfyUI did not start:\n" + (base / "server.log").read_text()[-3000:]) from None
                time.sleep(0.5)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
