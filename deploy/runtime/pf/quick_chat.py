"""Ask a model for a completion in a quarter of the processor time that the OpenAI SDK takes.

The SDK builds each request, and reads each answer, through many small objects; that is most of what
a flow with an LLM node costs. Its first request to a deployment goes its own way and shows how it
is written: address, headers, authentication. Those that follow differ in their body alone and are
sent from here, with the SDK's certificates and time limits; answers and errors are the SDK's own
objects, so what asks again after a 429 does so. Nothing is ever sent twice: a request that has left
ends with an answer or an error.

All else goes by the SDK: streams, what is no plain JSON, clients with hooks, proxies, retries of
their own, or keys that change.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import select
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httptools

from .transport import Stack

# As httpx: a connection that has rested for longer may be dead without a sign of it.
REST_SECONDS = 5.0
# A client may ask as many deployments as its users can name.
MOST_ROUTES = 64
DISCONNECTED = "Server disconnected without sending a response."

Ordinary = Callable[..., Any]


class QuickChat:
    """Sends what `accepts` lets through for `Completions.create` of the SDK."""

    def __init__(self) -> None:
        self._openai = importlib.import_module("openai")
        self._construct = importlib.import_module("openai._models").construct_type
        self._answer = importlib.import_module("openai.types.chat").ChatCompletion
        # By client, and then by what the address and the headers depend on.
        self._routes: weakref.WeakKeyDictionary[Any, dict[Any, Route]] = weakref.WeakKeyDictionary()

    def accepts(self, client: Any) -> bool:
        """Tell whether `client` is one whose requests all look alike."""
        if type(client) not in (self._openai.OpenAI, self._openai.AzureOpenAI):
            return False
        inner = client._client
        unusual = (
            client.max_retries,
            getattr(client, "_api_key_provider", None),
            getattr(client, "_workload_identity_auth", None),
            getattr(client, "_provider_runtime", None),
            inner._mounts,
            # The SDK's own are about redirects, which go by the SDK.
            [
                hook
                for hooks in inner.event_hooks.values()
                for hook in hooks
                if not str(hook.__module__).startswith("openai.")
            ],
        )
        return isinstance(inner._transport, Stack) and not any(unusual)

    def create(
        self,
        client: Any,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        ordinary: Ordinary,
    ) -> Any:
        """Return the completion for `body`; `ordinary` asks for it by the SDK.

        Raises the SDK's `APIError`s.
        """
        routes = self._routes.setdefault(client, {})
        # With traces the values of headers differ from request to request.
        key = (body.get("model"), *sorted(headers))
        route = routes.get(key)
        if route is None:
            with client._client._transport.watched() as seen:
                answer = ordinary()
            if len(routes) >= MOST_ROUTES:
                routes.clear()
            if len(seen) == 1:
                routes[key] = Route.of(seen[0], client, headers)
            return answer
        content = json.dumps(
            body, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        ).encode()
        try:
            got = route.send(content, client, headers)
        except TimeoutError as error:
            raise self._openai.APITimeoutError(request=route.request) from error
        except (OSError, httptools.HttpParserError) as error:
            raise self._openai.APIConnectionError(request=route.request) from error
        return self._judged(client, route, got, ordinary)

    def _judged(self, client: Any, route: Route, got: Answer, ordinary: Ordinary) -> Any:
        if 300 <= got.status < 400:
            # Not answered yet, and perhaps to be sent elsewhere for good.
            self._routes.pop(client, None)
            return ordinary()
        response = route.response(got)
        if got.status >= 400:
            raise client._make_status_error_from_response(response) from None
        try:
            data = json.loads(got.content)
        except ValueError:
            # What the SDK makes of it: the text, which has no choices.
            return response.text
        completion = self._construct(value=data, type_=self._answer)
        completion._request_id = response.headers.get("x-request-id")
        return completion


@dataclass
class Answer:
    """An answer as it comes in; `alive` tells whether the connection may be used again.

    The parser tells `on_…`.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    complete: bool = False
    alive: bool = False

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        """Know what the head says: after the body the parser has forgotten it."""
        self.status = self.parser.get_status_code()
        self.alive = self.parser.should_keep_alive()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self.content += part

    def on_message_complete(self) -> None:
        """Know that this was all."""
        self.complete = True


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
        token = getattr(client, "_azure_ad_token_provider", None) is not None
        left_out = {"content-length", "accept-encoding", *(name.lower() for name in changing)}
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

    def send(self, content: bytes, client: Any, headers: Mapping[str, str]) -> Answer:
        """Send a request with the body `content` and `headers`; return the answer.

        Raises `TimeoutError` or another `OSError`.
        """
        head = self._head
        for name, value in headers.items():
            head += f"\r\n{name}: {value}".encode("ascii")
        if self._token:
            head += b"\r\nauthorization: Bearer " + client._get_azure_ad_token().encode()
        connecting, reading = _seconds(client.timeout)
        connection = self._rested() or self._connect(connecting)
        try:
            connection.settimeout(reading)
            connection.sendall(
                b"%s\r\ncontent-length: %d\r\n\r\n%s" % (head, len(content), content)
            )
            answer = _read(connection)
        except BaseException:
            connection.close()
            raise
        if answer.alive:
            self._resting.append((connection, time.monotonic()))
        else:
            connection.close()
        return answer

    def response(self, got: Answer) -> Any:
        """Return `got` as an answer of the SDK's HTTP library."""
        library = importlib.import_module(type(self.request).__module__.partition(".")[0])
        return library.Response(
            got.status, headers=got.headers, content=bytes(got.content), request=self.request
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


def _read(connection: socket.socket) -> Answer:
    answer = Answer()
    while not answer.complete:
        part = connection.recv(65536)
        if not part:
            lengths = {b"content-length", b"transfer-encoding"}
            if answer.headers and not lengths & {name.lower() for name, _ in answer.headers}:
                # The end of the connection is the end of the body.
                answer.alive = False
                break
            raise ConnectionError(DISCONNECTED)
        answer.parser.feed_data(part)
    return answer
