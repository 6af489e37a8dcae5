"""A connection pool for clients of the OpenAI SDK: a stack of transports.

To get a connection, the SDK's HTTP library (httpx2; httpx in older versions) checks all of its
connections and asks the kernel about those that are idle. With a hundred calls at the same time
that takes longer than the call itself. A stack checks only its top. Each entry is a transport of
the library with one connection. The top entry was used last, so it is most likely still open.
"""

from __future__ import annotations

import functools
import importlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Make = Callable[[], Any]

_recorded_requests: ContextVar[list[Any] | None] = ContextVar("seen", default=None)


def install() -> None:
    """Make clients of the OpenAI SDK that are created later take connections from a stack.

    A client that a flow creates with its own transport keeps that transport.
    """
    base = importlib.import_module("openai._base_client")
    for client, stack in (
        (base.SyncHttpxClientWrapper, SyncTransportPool),
        (base.AsyncHttpxClientWrapper, AsyncTransportPool),
    ):
        client._init_transport = _use_pool(client._init_transport, stack)


def _use_pool(
    ordinary: Callable[..., Any], stack: Callable[[Any, ssl.SSLContext, Make], Any]
) -> Any:
    def init_transport(self: Any, *args: Any, **options: Any) -> Any:
        first = ordinary(self, *args, **options)
        context = getattr(getattr(first, "_pool", None), "_ssl_context", None)
        if args or options.get("transport") is not None or context is None:
            return first
        # Certificates are loaded only once: that takes longer than opening a connection.
        options = {**options, "verify": context, "cert": None}
        return stack(first, context, lambda: ordinary(self, **options))

    return init_transport


class _TransportPool:
    """A stack of idle transports; threads can share it, since push and pop are atomic."""

    def __init__(self, first: Any, context: ssl.SSLContext, make: Make) -> None:
        self.context = context
        self._make = make
        self._resting = deque([first])

    def _take(self) -> Any:
        try:
            return self._resting.pop()
        except IndexError:
            return self._make()

    def _give_back(self, transport: Any) -> None:
        self._resting.append(transport)

    def _release_on_close(self, stream: Any, transport: Any) -> Any:
        freeing = _create_stream_class(type(stream))  # type: ignore[arg-type]
        return freeing(stream, functools.partial(self._give_back, transport))


class SyncTransportPool(_TransportPool):
    """The transport pool of a synchronous client, which many threads may use."""

    def handle_request(self, request: Any) -> Any:
        """Send `request`; the connection is released when the response is read or closed."""
        if (recorded := _recorded_requests.get()) is not None:
            recorded.append(request)
        transport = self._take()
        try:
            response = transport.handle_request(request)
        except BaseException:
            self._give_back(transport)
            raise
        response.stream = self._release_on_close(response.stream, transport)
        return response

    @contextmanager
    def record_requests(self) -> Iterator[list[Any]]:
        """Yield a list to which requests of this context are added until the block ends."""
        recorded: list[Any] = []
        token = _recorded_requests.set(recorded)
        try:
            yield recorded
        finally:
            _recorded_requests.reset(token)

    def close(self) -> None:
        """Close the idle connections."""
        while self._resting:
            self._resting.pop().close()

    def __enter__(self) -> SyncTransportPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTransportPool(_TransportPool):
    """The transport pool of an asynchronous client, on one event loop."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send `request`; the connection is released when the response is read or closed."""
        transport = self._take()
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            self._give_back(transport)
            raise
        response.stream = self._release_on_close(response.stream, transport)
        return response

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._resting:
            await self._resting.pop().aclose()

    async def __aenter__(self) -> AsyncTransportPool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@functools.lru_cache(maxsize=4)
def _create_stream_class(stream: Any) -> Callable[[Any, Callable[[], None]], Any]:
    """Return a subclass of `stream` whose objects call a function once, when they are closed.

    A subclass, since the library accepts only streams of its own classes.
    """

    class Freeing(stream):  # type: ignore[misc]
        def __init__(self, inner: Any, free: Callable[[], None]) -> None:
            self._inner = inner
            self._free = [free]

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._inner)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._inner.__aiter__()  # type: ignore[no-any-return]

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._release()

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._release()

        def _release(self) -> None:
            if self._free:
                self._free.pop()()

    return Freeing
