"""A host of pictures, and of all that a fetched address can be instead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PICTURE = b"\x89PNG\r\n\x1a\n" + b"made up"
SECRET = "what-only-the-server-reaches"


@dataclass
class PictureHost:
    """Its port, and the paths that it was asked for."""

    port: int
    asked: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: PictureHost
    ended: threading.Event

    def do_GET(self) -> None:
        self.host.asked.append(self.path)
        self.host.hosts.append(self.headers["Host"])
        if self.path.startswith("/redirect"):
            self._head(302, Location="/picture.png")
        elif self.path == "/error":
            self._whole(500, "text/plain", SECRET.encode())
        elif self.path == "/text":
            self._whole(200, "text/plain", SECRET.encode())
        elif self.path == "/large":
            self._head(200, Content_Type="image/png", Connection="close")
            self._send(b"x" * 2**16, pause=0)
        elif self.path == "/slow":
            self._head(200, Content_Type="image/png", Connection="close")
            self._send(b"x", pause=0.02)
        elif self.path == "/slow-head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self._send(b"X-Slow: 1\r\n", pause=0.02)
        elif self.path == "/silent":
            self.ended.wait()
        elif self.path == "/short":
            self._head(200, Content_Type="image/png", Content_Length="1000", Connection="close")
            self.wfile.write(PICTURE)
        else:
            self._whole(200, "image/png", PICTURE)

    def _head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _whole(self, status: int, kind: str, content: bytes) -> None:
        self._head(status, Content_Type=kind, Content_Length=str(len(content)))
        self.wfile.write(content)

    def _send(self, piece: bytes, pause: float) -> None:
        """Send until the client leaves."""
        while not self.ended.wait(pause):
            self.wfile.write(piece)

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def serve(address: str = "127.0.0.1") -> Iterator[PictureHost]:
    """Serve on a port of `address` until the block ends."""
    host, ended = PictureHost(0), threading.Event()
    handler = type("Handler", (_Handler,), {"host": host, "ended": ended})
    with ThreadingHTTPServer((address, 0), handler) as server:
        host.port = server.server_port
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield host
        finally:
            ended.set()
            server.shutdown()
            thread.join()
