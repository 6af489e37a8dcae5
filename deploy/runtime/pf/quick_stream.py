"""Read a completion that a model streams, as the OpenAI SDK does, without its HTTP library's work.

The SDK's own `Stream` reads the events, so what a flow sees of it, errors too, is the SDK's. Below
is the connection that `routes` has opened, in the place of the HTTP library's own.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

from .chunks import Chunks
from .routes import BROKEN, Call, Route


class Streams:
    """Makes streams of the SDK."""

    def __init__(self) -> None:
        self._stream = importlib.import_module("openai").Stream
        self._chunk = importlib.import_module("openai.types.chat").ChatCompletionChunk
        self._patterns: dict[Any, Any] = {}

    def stream(self, client: Any, route: Route, call: Call) -> Any:
        """Return the stream whose head `call` has read."""
        body = _bodies(route.library)(call, route.request)
        response = route.response(call.answer, body)
        chunks = Chunks(client, self._patterns)
        return self._stream[self._chunk](cast_to=self._chunk, client=chunks, response=response)


@functools.lru_cache(maxsize=2)
def _bodies(library: Any) -> Any:
    """Return a class of bodies for answers of `library`, which looks whether they are its own."""

    class Body(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, call: Call, request: Any) -> None:
            self._call = call
            self._request = request

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self._call.parts()
            except TimeoutError as error:
                raise library.ReadTimeout(str(error), request=self._request) from error
            except BROKEN as error:
                raise library.ReadError(str(error), request=self._request) from error

        def close(self) -> None:
            self._call.close()

    return Body
