"""The responses of the server: outputs as JSON or events, and errors."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from . import auth
from .scorer import FlowError, Stream

log = logging.getLogger("serve")

EVENT_STREAM = "text/event-stream"
PIECE_BYTES = 64 * 1024


class PiecewiseResponse(Response):
    """A response that is sent in pieces, each after the client has read the previous ones.

    If it were sent at once, its memory would not be counted while the client does not read it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        if len(self.body) <= PIECE_BYTES:
            await super().__call__(scope, receive, send)
            return
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        for begin in range(0, len(self.body), PIECE_BYTES):
            end = begin + PIECE_BYTES
            piece, more = self.body[begin:end], end < len(self.body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


def event_response(stream: Stream, tracked: AbstractContextManager[None]) -> Response:
    """Return `stream` as server-sent events; `tracked` is active until it ends."""
    return StreamingResponse(
        _stream_events(stream, tracked),
        media_type=EVENT_STREAM,
        # Proxies, such as those of App Service, buffer events without these headers.
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _stream_events(
    stream: Stream, tracked: AbstractContextManager[None]
) -> AsyncIterator[str]:
    """Yield server-sent events as promptflow does: the complete fields, then each chunk.

    `tracked` is active until the stream ends, so that the worker lists the request as running.
    """
    with tracked:
        if stream.fields:
            yield _format_event(dict(stream.fields))
        chunks = stream.chunks
        try:
            async for chunk in chunks:
                yield _format_event({stream.name: chunk})
        except Exception:
            # The HTTP status is already sent, so the failure can only be sent as an event.
            log.exception("the stream broke")
            failure = {
                "error": {"code": "FlowFailed", "message": "the flow failed while it streamed"}
            }
            yield f"event: error\n{_format_event(failure)}"
        finally:
            close = getattr(chunks, "aclose", None)
            if close:
                await close()


def _format_event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def json_response(value: Any) -> Response:
    """Return the outputs of a flow as JSON. Raises `FlowError` if that is not possible."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_encode_dataclass)
        return PiecewiseResponse(text, media_type="application/json")
    except (TypeError, ValueError) as error:
        raise FlowError("the flow's answer cannot be written as JSON", str(error)) from None


def _encode_dataclass(value: Any) -> Any:
    """Return a dataclass as a dictionary, as promptflow does; raise `TypeError` for other types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def error_response(status: int, code: str, message: str, **more: Any) -> Response:
    """Return an error; `more` are further fields of it."""
    content = {"error": {"code": code, "message": message, **more}}
    return JSONResponse(content, status_code=status)


_ERROR_CODES = {406: "NotAcceptable", 413: "BodyTooLarge", 503: "Overloaded"}


def http_error_response(error: HTTPException, request_id: str) -> Response:
    more = {"request_id": request_id} if error.status_code == 503 else {}
    response = error_response(
        error.status_code, _ERROR_CODES[error.status_code], error.detail, **more
    )
    if error.status_code == 503:
        response.headers["retry-after"] = "1"
    return response


def unauthorized(reason: str) -> Response:
    """Return the error for a client that is not authenticated."""
    response = error_response(401, "Unauthorized", reason)
    response.headers["www-authenticate"] = auth.format_challenge(reason)
    return response


def method_not_allowed(methods: str) -> Response:
    """Return the error for a method other than `methods`."""
    response = error_response(405, "MethodNotAllowed", f"this path accepts {methods}")
    response.headers["allow"] = methods
    return response
