"""Stream completions with the OpenAI SDK's `Stream`, but without its HTTP library.

The SDK's own `Stream` reads the events, so a flow sees the SDK's objects and errors. The bytes come
from a connection of `http_client` instead of a connection of the HTTP library.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

from .chunks import ChunkFactory
from .http_client import CONNECTION_ERRORS, Exchange, Route


class StreamFactory:
    """A factory for the SDK's streams; its chunk patterns are shared by all streams."""

    def __init__(self) -> None:
        self._stream = importlib.import_module("openai").Stream
        self._chunk = importlib.import_module("openai.types.chat").ChatCompletionChunk
        self._patterns: dict[Any, Any] = {}

    def open_stream(self, client: Any, route: Route, call: Exchange) -> Any:
        """Return the SDK's stream for `call`, whose response head has arrived."""
        body = _create_body_class(route.library)(call, route.request)
        response = route.build_response(call.answer, body)
        chunks = ChunkFactory(client, self._patterns)
        return self._stream[self._chunk](cast_to=self._chunk, client=chunks, response=response)


@functools.lru_cache(maxsize=2)
def _create_body_class(library: Any) -> Any:
    """Return a class for response bodies; `library` accepts only subclasses of its own class."""

    class Body(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, call: Exchange, request: Any) -> None:
            self._call = call
            self._request = request

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self._call.iter_body()
            except TimeoutError as error:
                raise library.ReadTimeout(str(error), request=self._request) from error
            except CONNECTION_ERRORS as error:
                raise library.ReadError(str(error), request=self._request) from error

        def close(self) -> None:
            self._call.close()

    return Body
