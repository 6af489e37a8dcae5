"""An HTTP/1.1 client for requests that differ only in their body, over persistent connections.

A general HTTP client builds each request, and reads each response, through many small objects. Here
the head of the requests is known, only one thread at a time uses a socket, and httptools parses
the responses.
"""

from __future__ import annotations

import contextlib
import importlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httptools

# As in httpx. A connection that was idle for longer may be dead without a sign of it.
MAX_IDLE_SECONDS = 5.0
DISCONNECTED = "Server disconnected without sending a response."
# The errors of sending a request and reading a response. `TimeoutError`, a subclass of `OSError`,
# means that a time limit has passed.
CONNECTION_ERRORS = (OSError, httptools.HttpParserError)
# Without one of these headers, a body ends when the connection is closed.
_LENGTH_HEADERS = {b"content-length", b"transfer-encoding"}


@dataclass
class ResponseReader:
    """A response that is being received; httptools calls the methods `on_…`."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    # Whether the head of the final response, not of one with 100 to 199, has arrived.
    begun: bool = False
    complete: bool = False
    # Whether the connection can be used again.
    alive: bool = False

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        """Store the status and keep-alive, which the parser no longer knows after the body."""
        self.status = self.parser.get_status_code()
        self.alive = self.parser.should_keep_alive()
        # Informational responses (100 to 199) come before the final response.
        self.begun = self.status >= 200
        if not self.begun:
            self.headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        self.headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        """Add a part of the body."""
        self.content += part

    def on_message_complete(self) -> None:
        """Mark the final response as complete."""
        self.complete = self.begun


class Exchange:
    """A request that was sent, and the part of its response that has arrived.

    After the last byte the connection is added to `resting`, the idle connections. It is closed if
    the last byte does not arrive.
    """

    def __init__(
        self, connection: socket.socket, resting: deque[tuple[socket.socket, float]]
    ) -> None:
        self.answer = ResponseReader()
        self._connection = connection
        self._resting = resting

    def read_all(self) -> ResponseReader:
        """Return the complete response. Raise one of `CONNECTION_ERRORS` if that fails."""
        with self.close_on_error():
            while not self.answer.complete:
                self.read()
        return self.answer

    def iter_body(self) -> Iterator[bytes]:
        """Yield the parts of the body as they arrive. Raise one of `CONNECTION_ERRORS`."""
        content = self.answer.content
        while content or not self.answer.complete:
            if content:
                part = bytes(content)
                content.clear()
                # Outside of `close_on_error`: when the reader stops here, the connection may
                # already be idle or used by another thread.
                yield part
                continue
            with self.close_on_error():
                self.read()

    def close(self) -> None:
        """Release the connection, for reuse if only the end of the body remains to be read."""
        if self.answer.complete:
            return
        # A reader of events stops after the last event, a few bytes before the end of the body.
        with contextlib.suppress(*CONNECTION_ERRORS):
            self._connection.settimeout(0)
            self.read()
        if not self.answer.complete:
            self._connection.close()

    def read(self) -> None:
        """Read the bytes that have arrived, or wait for the next ones."""
        answer = self.answer
        data = self._connection.recv(65536)
        if data:
            answer.parser.feed_data(data)
        elif answer.begun and not _LENGTH_HEADERS & {name.lower() for name, _ in answer.headers}:
            # The end of the connection marks the end of the body.
            answer.alive, answer.complete = False, True
        else:
            raise ConnectionError(DISCONNECTED)
        if answer.complete:
            self._release()

    @contextlib.contextmanager
    def close_on_error(self) -> Iterator[None]:
        """Close the connection after an exception: the rest of the response has no reader."""
        try:
            yield
        except BaseException:
            self._connection.close()
            raise

    def _release(self) -> None:
        if self.answer.alive:
            self._resting.append((self._connection, time.monotonic()))
        else:
            self._connection.close()


def fingerprint_client(client: Any) -> tuple[Any, ...]:
    """Return all values of `client` that determine the address and the headers of its requests.

    The attributes of a client can be set at any time, for example its key to that of another
    tenant. The token provider represents its tokens, which are requested from it for each request.
    """
    return (
        client.api_key,
        getattr(client, "admin_api_key", None),
        getattr(client, "_azure_ad_token", None),
        getattr(client, "_azure_ad_token_provider", None),
        client.organization,
        client.project,
        str(client.base_url),
        *client._custom_headers.items(),
        *client._custom_query.items(),
        *client._client.headers.raw,
    )


class Route:
    """The head of the requests of one client to one model deployment, and idle connections."""

    def __init__(self, request: Any, head: bytes, context: ssl.SSLContext, token: bool) -> None:
        self.request = request
        self._head = head
        self._context = context
        self._token = token
        self._resting: deque[tuple[socket.socket, float]] = deque()

    @classmethod
    def from_request(cls, request: Any, client: Any, changing: Iterable[str]) -> Route:
        """Return the route of `request`, which the SDK has sent.

        The headers named in `changing` differ from request to request.
        """
        names = {name.lower() for name in changing}
        # An authorization header of the request itself takes the place of a token.
        token = (
            getattr(client, "_azure_ad_token_provider", None) is not None
            and "authorization" not in names
        )
        # A cookie belongs to the response that set it.
        omitted = {"content-length", "accept-encoding", "cookie", *names}
        omitted |= {"authorization"} if token else set()
        lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        lines += [
            b"%s: %s" % (name, value)
            for name, value in request.headers.raw
            if name.lower().decode("ascii") not in omitted
        ]
        # The head contains the key, as in the SDK's request. It is sent only to this address.
        head = b"\r\n".join(lines)
        transport = client._client._transport
        # Errors show this request. It contains neither the headers nor the body that was sent.
        error_request = type(request)(request.method, request.url)
        return cls(error_request, head, transport.context, token)

    def send(self, content: bytes, client: Any, headers: Mapping[str, str]) -> Exchange:
        """Send a request, and return its exchange once the head of the response has arrived.

        `headers` are those that differ from request to request. Raises one of `CONNECTION_ERRORS`.
        """
        head = self._head
        for name, value in headers.items():
            head += f"\r\n{name}: {value}".encode("ascii")
        if self._token:
            head += b"\r\nauthorization: Bearer " + client._get_azure_ad_token().encode()
        connecting, reading = _seconds(client.timeout)
        connection = self._take_idle() or self._connect(connecting)
        call = Exchange(connection, self._resting)
        with call.close_on_error():
            connection.settimeout(reading)
            connection.sendall(
                b"%s\r\ncontent-length: %d\r\n\r\n%s" % (head, len(content), content)
            )
            while not call.answer.begun:
                call.read()
        return call

    @property
    def library(self) -> Any:
        """Return the HTTP library of the SDK."""
        return importlib.import_module(type(self.request).__module__.partition(".")[0])

    def build_response(self, reader: ResponseReader, stream: Any = None) -> Any:
        """Return `reader` as a response of the SDK's HTTP library, with its body from `stream`."""
        content = bytes(reader.content) if stream is None else None
        return self.library.Response(
            reader.status,
            headers=reader.headers,
            content=content,
            stream=stream,
            request=self.request,
        )

    def _take_idle(self) -> socket.socket | None:
        """Return the idle connection that was used last and is still open, or None."""
        while self._resting:
            try:
                connection, since = self._resting.pop()
            except IndexError:
                return None
            if time.monotonic() - since < MAX_IDLE_SECONDS and not _is_readable(connection):
                return connection
            # An idle connection is readable only if the other side has closed it.
            connection.close()
        return None

    def _connect(self, seconds: float | None) -> socket.socket:
        url = self.request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        connection = socket.create_connection((url.host, port), seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme == "https":
            with contextlib.ExitStack() as stack:
                stack.callback(connection.close)
                secure = self._context.wrap_socket(connection, server_hostname=url.host)
                stack.pop_all()
            return secure
        return connection


def _seconds(timeout: Any) -> tuple[float | None, float | None]:
    """Return the seconds for connecting and for each read, from the SDK client's `timeout`."""
    if timeout is None or isinstance(timeout, (int, float)):
        return timeout, timeout
    return timeout.connect, timeout.read


def _is_readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
