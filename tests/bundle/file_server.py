# SPDX-License-Identifier: Apache-2.0
"""A server of one directory on this machine, which counts, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["FileServer", "Request", "serving"]

STEP = 64 * 1024


class Request(BaseHTTPRequestHandler):
    """One request. `server.misbehave` may answer instead of the usual way."""

    protocol_version = "HTTP/1.1"
    server: FileServer
    timeout = 30

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append((self.path, self.headers.get("Range")))
            self.server.fields.append(dict(self.headers))
        if self.server.misbehave is not None and self.server.misbehave(self):
            return
        self.usual()

    def usual(self, *, ranges: bool | None = None) -> None:
        path = self.server.root / self.path.partition("?")[0].lstrip("/")
        if not path.is_file():
            self.brief(404)
            return
        size = path.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        changed = self.headers.get("If-Range", self.server.etag) != self.server.etag
        if wanted is None or changed or not (self.server.ranges if ranges is None else ranges):
            first, last = 0, size - 1
            self.send_response(200)
        else:
            first, last = int(wanted[1]), min(int(wanted[2]), size - 1)
            if first >= size:
                self.brief(416, {"Content-Range": f"bytes */{size}"})
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        if self.server.etag is not None:
            self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left:
                piece = file.read(min(left, STEP))
                self.body(piece)
                left -= len(piece)

    def brief(self, status: int, fields: dict[str, str] | None = None, body: bytes = b"") -> None:
        """An answer with a short body."""
        self.send_response(status)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.body(body)

    def body(self, data: bytes) -> None:
        self.wfile.write(data)
        with self.server.lock:
            self.server.sent += len(data)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class _State:
    root: Path = Path()
    ranges: bool = True
    etag: str | None = '"one"'
    misbehave: Callable[[Request], bool] | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    fields: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class FileServer(ThreadingHTTPServer, _State):
    """Serves `root` on a port of this machine."""

    daemon_threads = True
    scheme = "http"

    def __init__(self, root: Path) -> None:
        _State.__init__(self, root=root)
        ThreadingHTTPServer.__init__(self, ("127.0.0.1", 0), Request)

    def address(self, name: str) -> str:
        host = "127.0.0.1" if self.scheme == "http" else "localhost"
        return f"{self.scheme}://{host}:{self.server_address[1]}/{name}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to talk about."""


@contextlib.contextmanager
def serving(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    server = FileServer(root)
    if tls is not None:
        server.scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
