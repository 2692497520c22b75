"""A hub on loopback for the real `huggingface_hub` client: model info, metadata, redirects to a CDN, ranges, gates, and faults."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


class Hub(ThreadingHTTPServer):
    """One repository, `files` by path. `faults` is a list of what goes wrong with the next transfers: a status, 'cut' or 'wrong'."""

    daemon_threads = True

    def __init__(self, repository: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository, self.files = repository, files
        self.faults: list[int | str] = []
        self.info_status = 200
        self.gated = False
        self.pause = 0.0
        self.sent: list[tuple[str, int]] = []
        """(path, first byte) of each transfer."""
        self.authorised_cdn = False
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error here."""


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
        if path.startswith("/cdn/"):
            hub.authorised_cdn |= "Authorization" in self.headers
            return self._send_file(path.removeprefix("/cdn/"))
        if path.startswith(f"/api/models/{hub.repository}"):
            if path.endswith("/auth-check"):
                return self._gate() if hub.gated else self._plain(200, b"{}")
            if hub.info_status != 200:
                return self._plain(hub.info_status, b"{}", {"Retry-After": "0"})
            return self._plain(200, json.dumps(self._info()).encode())
        prefix = f"/{hub.repository}/resolve/"
        if not path.startswith(prefix):
            return self._plain(404, b"", {"X-Error-Code": "RepoNotFound"})
        name = path.removeprefix(prefix).partition("/")[2]
        if hub.gated:
            return self._gate()
        if name not in hub.files:
            return self._plain(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = hub.files[name]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob_id(data)}"', "Accept-Ranges": "bytes"}
        if is_large(name):
            headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{sha256(data)}"'}
            headers["Location"] = f"http://localhost:{hub.server_port}/cdn/{name}"
            return self._plain(302, b"", headers)
        if head:
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            return self.end_headers()
        return self._plain(200, data, headers)

    def _info(self) -> dict[str, object]:
        siblings = []
        for name, data in self.server.files.items():
            sibling: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
            if is_large(name):
                sibling["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(sibling)
        gated = "auto" if self.server.gated else False
        return {"id": self.server.repository, "sha": COMMIT, "gated": gated, "private": False, "siblings": siblings, "tags": []}

    def _gate(self) -> None:
        self._plain(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."})

    def _send_file(self, name: str) -> None:
        hub = self.server
        fault = hub.faults.pop(0) if hub.faults else None
        if isinstance(fault, int):
            return self._plain(fault, b"", {"Retry-After": "0"})
        data = hub.files[name]
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
        for at in range(0, len(body), 1 << 18):
            self.wfile.write(body[at : at + (1 << 18)])
            time.sleep(hub.pause)
        return None

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
