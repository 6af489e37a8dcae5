"""Servers that answer as an engine does, on TCP, with TLS, and on a socket."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = {"ApiVersion": "1.45", "Version": "26.0.0", "Os": "linux", "Arch": "arm64"}


class Handler(BaseHTTPRequestHandler):
    """Answers what is asked of an engine first."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = self.answer()
        self.send_response(status)
        self.send_header("Api-Version", str(VERSION["ApiVersion"]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def answer(self) -> tuple[int, bytes]:
        if self.path.endswith("/_ping"):
            return 200, b"OK" if self.command == "GET" else b""
        return 200, json.dumps(VERSION).encode()

    def log_message(self, *_: object) -> None:
        pass


class TlsServer(ThreadingHTTPServer):
    """Handshakes in the thread of each connection; one that fails is no news."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, *_: object) -> None:
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        request, _ = super().get_request()
        return request, ("engine", 0)


def serving(server: socketserver.BaseServer) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
