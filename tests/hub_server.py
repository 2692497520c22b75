"""A hub on loopback for the real `huggingface_hub` client: model info, metadata, redirects to a CDN, ranges, gates, and faults."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40
TOKEN = "hf_" + "secretsecretsecret"
"""What the client is logged in with."""


class Hub(ThreadingHTTPServer):
    """Repositories with their files by path, of which most tests have one (`files`).

    `faults` is a list of what goes wrong with the next transfers: a status, 'cut' or 'wrong'.
    """

    daemon_threads = True

    def __init__(self, repository: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository, self.files = repository, files
        self.repositories = {repository: files}
        self.faults: list[int | str] = []
        self.info_status = 200
        self.gated = False
        self.pause = 0.0
        self.piece = 1 << 18
        """Seconds between the pieces of a transfer, and bytes of a piece."""
        self.sent: list[tuple[str, int]] = []
        """(path, first byte) of each transfer."""
        self.authorised_cdn = False
        self.authorised = False
        """Whether the token came, where it belongs: in a header to the hub itself."""
        self.addresses: list[str] = []
        """Path and query of every request."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error here."""


def client_environment(hub: Hub, folder: Path) -> dict[str, str]:
    """Of a process whose hub is `hub`, with an empty cache below `folder`."""
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN}
    return environment | {"HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*", "ADVANCED_MODELS_DOWNLOADS": "on"}


def run_command(hub: Hub, folder: Path, *arguments: str, **settings: str) -> str:
    """What `advanced-models` prints in an empty ComfyUI folder; `settings` are variables of its environment."""
    (folder / "models" / "diffusers").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "advanced_models", *arguments],
        cwd=folder,
        env=client_environment(hub, folder) | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(name: str) -> bool:
    return name.endswith(".safetensors")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(head=True)

    def do_GET(self) -> None:
        self._answer(head=False)

    def _answer(self, head: bool) -> None:
        path = self.path.partition("?")[0]
        hub = self.server
        hub.addresses.append(self.path)
        if path.startswith("/cdn/"):
            hub.authorised_cdn |= "Authorization" in self.headers
            return self._send_file(*path.removeprefix("/cdn/").split("//"))
        hub.authorised |= self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository := self._repository("/api/models/"):
            if path.endswith("/auth-check"):
                return self._gate() if hub.gated else self._plain(200, b"{}")
            if hub.info_status != 200:
                return self._plain(hub.info_status, b"{}", {"Retry-After": "0"})
            answer = self._tree(repository) if "/tree/" in path else self._info(repository)
            return self._plain(200, json.dumps(answer).encode())
        repository = self._repository("/")
        if repository is None:
            return self._plain(404, b"", {"X-Error-Code": "RepoNotFound"})
        files, name = hub.repositories[repository], path.removeprefix(f"/{repository}/resolve/").partition("/")[2]
        if hub.gated:
            return self._gate()
        if name not in files:
            return self._plain(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = files[name]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob_id(data)}"', "Accept-Ranges": "bytes"}
        if is_large(name):
            headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{sha256(data)}"'}
            headers["Location"] = f"http://localhost:{hub.server_port}/cdn/{repository}//{name}"
            return self._plain(302, b"", headers)
        if head:
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            return self.end_headers()
        return self._plain(200, data, headers)

    def _repository(self, prefix: str) -> str | None:
        """The repository whose address the request's path is, or lies below."""
        path = self.path.partition("?")[0] + "/"
        return next((name for name in self.server.repositories if path.startswith(f"{prefix}{name}/")), None)

    def _info(self, repository: str) -> dict[str, object]:
        siblings = []
        for name, data in self.server.repositories[repository].items():
            sibling: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
            if is_large(name):
                sibling["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(sibling)
        gated = "auto" if self.server.gated else False
        return {"id": repository, "sha": COMMIT, "gated": gated, "private": False, "siblings": siblings, "tags": []}

    def _tree(self, repository: str) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = []
        for name, data in self.server.repositories[repository].items():
            entry: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": blob_id(data)}
            entries.append(entry | ({"lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 134}} if is_large(name) else {}))
        return entries

    def _gate(self) -> None:
        self._plain(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."})

    def _send_file(self, repository: str, name: str) -> None:
        hub = self.server
        fault = hub.faults.pop(0) if hub.faults else None
        if isinstance(fault, int):
            return self._plain(fault, b"", {"Retry-After": "0"})
        data = hub.repositories[repository][name]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        hub.sent.append((name, start))
        body = data[start:] if fault != "wrong" else bytes(len(data) - start)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        for at in range(0, len(body), hub.piece):
            self.wfile.write(body[at : at + hub.piece])
            time.sleep(hub.pause)
        return None

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
