"""An HTTPS server on a free port of this machine: a thread for each connection, and a record."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.emulator.certificates import Authority
from tests.emulator.exchange import Broken, Exchange, Seen
from tests.emulator.faults import Faults

HOST = "127.0.0.1"
# Longer than any client here keeps a connection without using it.
IDLE_SECONDS = 120

Service = Callable[[Exchange], None]
"""Answers one request. Called in many threads at once."""


class Server:
    """A service behind TLS.

    `seen` is every request in order; `unexpected` is what the service says it does not know, and
    `failures` are its own errors: a test that leaves any of the two has failed.
    """

    def __init__(self, authority: Authority, service: Service) -> None:
        self._authority = authority
        self._tls = authority.server()
        self.service = service
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.unexpected: list[str] = []
        self.failures: list[str] = []
        self._sockets = _Sockets(self, 0)
        self.port: int = self._sockets.server_address[1]

    @property
    def name(self) -> str:
        """Host and port, as in an image's name."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{self.name}"

    @property
    def tls(self) -> ssl.SSLContext:
        """What new connections are secured with."""
        return self._tls

    def start(self) -> None:
        """Listen."""
        self._sockets.listen()

    def stop(self) -> None:
        """Stop listening, and break every connection."""
        self._sockets.stop()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Be gone inside of the block: connections are refused."""
        self.stop()
        # The port is kept, so that nobody else is there in the meantime.
        self._sockets = _Sockets(self, self.port)
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def certified_by(self, other: Authority) -> Iterator[None]:
        """Show a certificate of another authority inside of the block."""
        before, self._tls = self._tls, other.server()
        self._sockets.break_connections()
        try:
            yield
        finally:
            self._tls = before
            self._sockets.break_connections()

    def requests(self, method: str = ".*", path: str = "") -> list[Seen]:
        """Return the recorded requests whose method and path (searched) match."""
        chosen = re.compile(method), re.compile(path)
        return [
            seen
            for seen in list(self.seen)
            if chosen[0].fullmatch(seen.method) and chosen[1].search(seen.path)
        ]

    def reset(self) -> None:
        """Behave well, and forget what was seen."""
        self.faults.clear()
        self.seen.clear()
        self.unexpected.clear()
        self.failures.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 64 * 1024
    timeout = IDLE_SECONDS
    server: _Sockets

    def do_GET(self) -> None:
        owner = self.server.owner
        seen = Seen(self.command, self.path)
        owner.seen.append(seen)
        answer = owner.faults.answer_for(seen.method, seen.path)
        exchange = Exchange(self, seen, (None, None))
        has_body = exchange.is_chunked or exchange.length > 0
        if answer is None:
            cuts = owner.faults.cut_for(seen.method, seen.path, has_body)
            exchange = Exchange(self, seen, cuts)
        try:
            if answer is None:
                owner.service(exchange)
            else:
                wait = [("Retry-After", answer.retry_after)] if answer.retry_after else []
                exchange.answer(answer.status, b"this was ordered by a test", wait)
            exchange.discard()
        except Broken:
            self.close_connection = True
        except OSError as error:
            # Not of the client's connection, or it would be `Broken`.
            raise RuntimeError(f"{seen.method} {seen.path}: {error}") from error

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Sockets(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The sockets of a server; once stopped they stay so."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, owner: Server, port: int) -> None:
        super().__init__((HOST, port), _Handler, bind_and_activate=False)
        self.owner = owner
        self._open: set[socket.socket] = set()
        self._stopped = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.server_bind()

    def listen(self) -> None:
        self.server_activate()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread:
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._lock:
            self._stopped = True
        self.break_connections()

    def break_connections(self) -> None:
        with self._lock:
            for connection in self._open:
                # Not SSLSocket.shutdown(), which takes the TLS from under the thread that uses it.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: a client that is slow to shake hands holds up nobody.
        request.settimeout(IDLE_SECONDS)
        with (
            self.owner.tls.wrap_socket(
                request, server_side=True, do_handshake_on_connect=False
            ) as secured,
            self._kept(secured),
        ):
            secured.do_handshake()
            super().finish_request(secured, client_address)

    @contextlib.contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        """Let `break_connections` know of a connection inside of the block."""
        with self._lock:
            if self._stopped:
                raise ConnectionAbortedError
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up, or does not trust us, is none of our errors.
        if not isinstance(sys.exc_info()[1], OSError):
            self.owner.failures.append(traceback.format_exc())
