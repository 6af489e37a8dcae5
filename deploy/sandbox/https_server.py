"""An HTTPS server on a free port of this machine: a thread per connection, requests recorded."""

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

from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.fault_injection import FaultInjector
from deploy.sandbox.http_exchange import ConnectionBroken, Exchange, RecordedRequest

HOST = "127.0.0.1"
# Longer than any client here keeps an idle connection.
IDLE_SECONDS = 120

RequestHandler = Callable[[Exchange], None]
"""Answers one request. Called in many threads at once."""


class HttpsServer:
    """A service behind TLS.

    A test fails if it leaves entries in `unexpected` or `failures`.
    """

    def __init__(self, authority: CertificateAuthority, service: RequestHandler) -> None:
        self._tls = authority.server()
        self.service = service
        self.faults = FaultInjector()
        # All requests in order.
        self.seen: list[RecordedRequest] = []
        # Requests that the service does not know.
        self.unexpected: list[str] = []
        # Errors of the service itself.
        self.failures: list[str] = []
        self._sockets = _TlsListener(self, 0)
        self.port: int = self._sockets.server_address[1]

    @property
    def name(self) -> str:
        """Host and port, as in an image's name."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The server's address."""
        return f"https://{self.name}"

    @property
    def tls(self) -> ssl.SSLContext:
        """The TLS context for new connections."""
        return self._tls

    def start(self) -> None:
        """Start to listen."""
        self._sockets.listen()

    def stop(self) -> None:
        """Stop listening, and break every connection."""
        self._sockets.stop()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Refuse connections inside the block."""
        self.stop()
        # Keep the port bound, so that no other program can use it meanwhile.
        self._sockets = _TlsListener(self, self.port)
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def use_authority(self, other: CertificateAuthority) -> Iterator[None]:
        """Use a certificate of another authority inside the block."""
        before, self._tls = self._tls, other.server()
        self._sockets.break_connections()
        try:
            yield
        finally:
            self._tls = before
            self._sockets.break_connections()

    def requests(self, method: str = ".*", path: str = "") -> list[RecordedRequest]:
        """Return the recorded requests that match: the whole method, any part of the path."""
        patterns = re.compile(method), re.compile(path)
        return [
            request
            for request in list(self.seen)
            if patterns[0].fullmatch(request.method) and patterns[1].search(request.path)
        ]

    def reject_unknown(self, exchange: Exchange, service: str) -> None:
        """Record a request that the service does not know, and answer 404."""
        self.unexpected.append(f"{service}: {exchange.method} {exchange.target}")
        exchange.answer(404, b"404 page not found")

    def reset(self) -> None:
        """Remove faults, and forget recorded requests."""
        self.faults.clear()
        self.seen.clear()
        self.unexpected.clear()
        self.failures.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 64 * 1024
    timeout = IDLE_SECONDS
    server: _TlsListener

    def do_GET(self) -> None:
        owner = self.server.owner
        record = RecordedRequest(self.command, self.path)
        owner.seen.append(record)
        fault = owner.faults.find_answer(record.method, record.path)
        exchange = Exchange(self, record, (None, None))
        has_body = exchange.is_chunked or exchange.length > 0
        if fault is None:
            cuts = owner.faults.find_cut(record.method, record.path, has_body)
            exchange = Exchange(self, record, cuts)
        try:
            if fault is None:
                owner.service(exchange)
            else:
                headers = [("Retry-After", fault.retry_after)] if fault.retry_after else []
                exchange.answer(fault.status, b"this was ordered by a test", headers)
            exchange.discard()
        except ConnectionBroken:
            self.close_connection = True
        except OSError as error:
            # Not an error of the client's connection, which raises `ConnectionBroken`.
            raise RuntimeError(f"{record.method} {record.path}: {error}") from error

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _TlsListener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The sockets of a server; once stopped, they cannot be started again."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, owner: HttpsServer, port: int) -> None:
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
                # Not SSLSocket.shutdown(), which would remove TLS while another thread uses it.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread, so that a slow handshake does not block other clients.
        request.settimeout(IDLE_SECONDS)
        with (
            self.owner.tls.wrap_socket(
                request, server_side=True, do_handshake_on_connect=False
            ) as secured,
            self._track_connection(secured),
        ):
            secured.do_handshake()
            super().finish_request(secured, client_address)

    @contextlib.contextmanager
    def _track_connection(self, connection: socket.socket) -> Iterator[None]:
        """Register a connection for `break_connections` inside the block."""
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
        # A client that disconnects or does not trust the certificate is no error of the server.
        if not isinstance(sys.exc_info()[1], OSError):
            self.owner.failures.append(traceback.format_exc())
