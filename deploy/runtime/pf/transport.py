"""Connections to models, taken from a stack.

The OpenAI SDK's HTTP library (httpx2; httpx in older versions) looks at each connection that it
has whenever it needs one, and asks the kernel about those that rest: with a hundred calls at a time
that takes longer than the call itself. A stack looks at the top. Each place in it is the library's
own transport, with one connection; what is on top was used last, and is most likely still open.
"""

from __future__ import annotations

import functools
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Make = Callable[[], Any]

_seen: ContextVar[list[Any] | None] = ContextVar("seen", default=None)


def install() -> None:
    """Let clients that the OpenAI SDK makes from now on take connections from a stack.

    A client that a flow makes with a transport of its own keeps that.
    """
    base = sys.modules.get("openai._base_client")
    if base is None:
        return
    for client, stack in (
        (base.SyncHttpxClientWrapper, Stack),
        (base.AsyncHttpxClientWrapper, AsyncStack),
    ):
        client._init_transport = _stacked(client._init_transport, stack)


def _stacked(
    ordinary: Callable[..., Any], stack: Callable[[Any, ssl.SSLContext, Make], Any]
) -> Any:
    def init_transport(self: Any, *args: Any, **options: Any) -> Any:
        first = ordinary(self, *args, **options)
        context = getattr(getattr(first, "_pool", None), "_ssl_context", None)
        if args or options.get("transport") is not None or context is None:
            return first
        # Certificates are read once: that takes longer than the start of a connection.
        options = {**options, "verify": context, "cert": None}
        return stack(first, context, lambda: ordinary(self, **options))

    return init_transport


class _Stack:
    """Transports that rest. Taking and giving back are atomic, so threads may share one."""

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

    def _freed(self, stream: Any, transport: Any) -> Any:
        freeing = _freeing(type(stream))  # type: ignore[arg-type]
        return freeing(stream, functools.partial(self._give_back, transport))


class Stack(_Stack):
    """The transport of a client whose calls may come from many threads."""

    def handle_request(self, request: Any) -> Any:
        """Send `request`; the connection is free again once the answer is read or closed."""
        if (seen := _seen.get()) is not None:
            seen.append(request)
        transport = self._take()
        try:
            response = transport.handle_request(request)
        except BaseException:
            self._give_back(transport)
            raise
        response.stream = self._freed(response.stream, transport)
        return response

    @contextmanager
    def watched(self) -> Iterator[list[Any]]:
        """Yield a list to which the requests of this thread are added meanwhile."""
        seen: list[Any] = []
        token = _seen.set(seen)
        try:
            yield seen
        finally:
            _seen.reset(token)

    def close(self) -> None:
        """Close the connections that rest."""
        while self._resting:
            self._resting.pop().close()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncStack(_Stack):
    """The same on an event loop."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send `request`; the connection is free again once the answer is read or closed."""
        transport = self._take()
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            self._give_back(transport)
            raise
        response.stream = self._freed(response.stream, transport)
        return response

    async def aclose(self) -> None:
        """Close the connections that rest."""
        while self._resting:
            await self._resting.pop().aclose()

    async def __aenter__(self) -> AsyncStack:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@functools.lru_cache(maxsize=4)
def _freeing(stream: Any) -> Callable[[Any, Callable[[], None]], Any]:
    """Return a class of streams like `stream` that call a function once, when they are closed.

    The library looks whether a stream is of its own classes.
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
