"""HTTP as a model is asked: requests that differ in their body alone, over connections kept open.

A client for the internet at large builds each request, and reads each answer, through many small
objects. Here the head of requests is known, a socket is one thread's at a time, and httptools reads
what comes.
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

# As httpx: a connection that has rested for longer may be dead without a sign of it.
REST_SECONDS = 5.0
DISCONNECTED = "Server disconnected without sending a response."
# What sending, and reading an answer, may raise; of these a `TimeoutError` stands for a time limit.
BROKEN = (OSError, httptools.HttpParserError)
# Without one of these a body ends with the connection.
_FRAMES = {b"content-length", b"transfer-encoding"}


@dataclass
class Answer:
    """An answer as it comes in; `alive` tells whether the connection may be used again.

    The parser tells `on_…`.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    begun: bool = False
    complete: bool = False
    alive: bool = False

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        """Know what the head says: after the body the parser has forgotten it."""
        self.status = self.parser.get_status_code()
        self.alive = self.parser.should_keep_alive()
        # What comes before an answer (100 to 199) is none.
        self.begun = self.status >= 200
        if not self.begun:
            self.headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self.content += part

    def on_message_complete(self) -> None:
        """Know that this was all."""
        self.complete = self.begun


class Call:
    """A request that was sent, and its answer as far as it has come.

    The connection is put to `resting` after the last byte, and closed where that does not come.
    """

    def __init__(
        self, connection: socket.socket, resting: deque[tuple[socket.socket, float]]
    ) -> None:
        self.answer = Answer()
        self._connection = connection
        self._resting = resting

    def whole(self) -> Answer:
        """Return the answer with all of its body. Raises one of `BROKEN`."""
        with self.closed_if_it_fails():
            while not self.answer.complete:
                self.read()
        return self.answer

    def parts(self) -> Iterator[bytes]:
        """Yield the body as it comes. Raises one of `BROKEN`."""
        content = self.answer.content
        while content or not self.answer.complete:
            if content:
                part = bytes(content)
                content.clear()
                # Who leaves here may have closed already, and the connection be another's.
                yield part
                continue
            with self.closed_if_it_fails():
                self.read()

    def close(self) -> None:
        """Let go of the connection; it may be used again if no more than its end is to be read."""
        if self.answer.complete:
            return
        # What reads events goes at the last one, and the end of the body is a few bytes more.
        with contextlib.suppress(*BROKEN):
            self._connection.settimeout(0)
            self.read()
        if not self.answer.complete:
            self._connection.close()

    def read(self) -> None:
        """Take what has come, or what comes next."""
        answer = self.answer
        data = self._connection.recv(65536)
        if data:
            answer.parser.feed_data(data)
        elif answer.begun and not _FRAMES & {name.lower() for name, _ in answer.headers}:
            # The end of the connection is the end of the body.
            answer.alive, answer.complete = False, True
        else:
            raise ConnectionError(DISCONNECTED)
        if answer.complete:
            self._release()

    @contextlib.contextmanager
    def closed_if_it_fails(self) -> Iterator[None]:
        """Close the connection where something is raised: what else would come is nobody's."""
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


def credentials(client: Any) -> tuple[Any, ...]:
    """Return all of `client` that decides the address and the headers of its requests.

    A client's attributes may be set at any time: its key to that of another tenant, say. The
    token provider stands for the tokens that it returns, which are asked for at each request.
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
    """One deployment of a model, as one client asks it: the head of requests, and connections."""

    def __init__(self, request: Any, head: bytes, context: ssl.SSLContext, token: bool) -> None:
        self.request = request
        self._head = head
        self._context = context
        self._token = token
        self._resting: deque[tuple[socket.socket, float]] = deque()

    @classmethod
    def of(cls, request: Any, client: Any, changing: Iterable[str]) -> Route:
        """Return the route on which the SDK has sent `request`; headers named `changing` change."""
        names = {name.lower() for name in changing}
        # What a request brings along is sent in place of a token.
        token = (
            getattr(client, "_azure_ad_token_provider", None) is not None
            and "authorization" not in names
        )
        # A cookie belongs to the answer that set it.
        left_out = {"content-length", "accept-encoding", "cookie", *names}
        left_out |= {"authorization"} if token else set()
        lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        lines += [
            b"%s: %s" % (name, value)
            for name, value in request.headers.raw
            if name.lower().decode("ascii") not in left_out
        ]
        # The key is in it, as it was in the SDK's own; it goes nowhere but there.
        head = b"\r\n".join(lines)
        transport = client._client._transport
        # What is kept is for errors, which show it: not the body that was sent.
        shown = type(request)(request.method, request.url)
        return cls(shown, head, transport.context, token)

    def send(self, content: bytes, client: Any, headers: Mapping[str, str]) -> Call:
        """Send a request with the body `content` and `headers`; return it once its answer begins.

        Raises one of `BROKEN`.
        """
        head = self._head
        for name, value in headers.items():
            head += f"\r\n{name}: {value}".encode("ascii")
        if self._token:
            head += b"\r\nauthorization: Bearer " + client._get_azure_ad_token().encode()
        connecting, reading = _seconds(client.timeout)
        connection = self._rested() or self._connect(connecting)
        call = Call(connection, self._resting)
        with call.closed_if_it_fails():
            connection.settimeout(reading)
            connection.sendall(
                b"%s\r\ncontent-length: %d\r\n\r\n%s" % (head, len(content), content)
            )
            while not call.answer.begun:
                call.read()
        return call

    @property
    def library(self) -> Any:
        """The SDK's HTTP library."""
        return importlib.import_module(type(self.request).__module__.partition(".")[0])

    def response(self, got: Answer, stream: Any = None) -> Any:
        """Return `got` as an answer of the SDK's HTTP library; its body comes from `stream`."""
        content = bytes(got.content) if stream is None else None
        return self.library.Response(
            got.status, headers=got.headers, content=content, stream=stream, request=self.request
        )

    def _rested(self) -> socket.socket | None:
        """Return the connection that was used last, if it is still good."""
        while self._resting:
            try:
                connection, since = self._resting.pop()
            except IndexError:
                return None
            if time.monotonic() - since < REST_SECONDS and not _readable(connection):
                return connection
            # There is nothing to read before anything was asked, unless the other side has closed.
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
    """Return the limits for connecting and for each read, as the SDK's client has them."""
    if timeout is None or isinstance(timeout, (int, float)):
        return timeout, timeout
    return timeout.connect, timeout.read


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
