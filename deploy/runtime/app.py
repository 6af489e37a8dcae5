"""The container's contract over HTTP: /score, /health, /version, /swagger.json."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from . import inputs, logs, openapi
from .scorer import BadInput, FlowFailed, Scorer, Stream

log = logging.getLogger("serve")

EVENTS = "text/event-stream"
JSON_TYPES = {"application/json", "application/*", "*/*"}


def create(scorer: Scorer, about: dict[str, Any], body_limit: int) -> Starlette:
    """Return the application that serves `scorer`.

    `about` is the answer of /version and has `flow`, `tag` and `commit`. A body above `body_limit`
    bytes is refused.
    """
    swagger = openapi.document(about["flow"], about["tag"], scorer.inputs, scorer.outputs)

    async def score(request: Request) -> Response:
        body = await _body(request, body_limit)
        values = inputs.read(body, scorer.inputs)
        accepted = _accepted(request)
        wants_events = EVENTS in accepted
        if not (wants_events or accepted & JSON_TYPES):
            raise HTTPException(406, f"this flow answers with application/json or {EVENTS}")
        result = await scorer.score(values, stream=wants_events)
        if isinstance(result, Stream):
            return StreamingResponse(
                _events(result),
                media_type=EVENTS,
                # Proxies in front of App Service and others buffer events unless told not to.
                headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
            )
        if not accepted & JSON_TYPES:
            raise HTTPException(406, "this flow does not stream: accept application/json as well")
        return _json(result)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "healthy"})

    async def version(request: Request) -> Response:
        return JSONResponse({name: about[name] for name in ("flow", "tag", "commit")})

    async def describe(request: Request) -> Response:
        return JSONResponse(swagger)

    routes = [
        Route("/score", _logged(score), methods=["POST"]),
        Route("/health", health),
        Route("/version", version),
        Route("/swagger.json", describe),
    ]
    application = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    # A redirect would be made from the Host header, which the client wrote.
    application.router.redirect_slashes = False
    return application


Endpoint = Callable[[Request], Awaitable[Response]]


def _logged(endpoint: Endpoint) -> Endpoint:
    """Turn what `endpoint` raises into answers, and write one line a request.

    Never an input or an output.
    """

    async def wrapped(request: Request) -> Response:
        request_id = request.headers.get("x-request-id", "")[:128] or uuid.uuid4().hex
        # The id goes into a log line and back into a header: only what cannot forge either.
        if not (request_id.isascii() and request_id.replace("-", "").replace("_", "").isalnum()):
            request_id = uuid.uuid4().hex
        logs.request_id.set(request_id)
        start = time.perf_counter()
        response = await _answer(endpoint, request, request_id)
        response.headers["x-request-id"] = request_id
        spent = (time.perf_counter() - start) * 1000
        told = {"status": response.status_code, "duration_ms": round(spent, 1)}
        log.info("score %d %.0f ms %s", response.status_code, spent, request_id, extra=told)
        return response

    return wrapped


async def _answer(endpoint: Endpoint, request: Request, request_id: str) -> Response:
    try:
        return await endpoint(request)
    except BadInput as error:
        return _error(400, error.code, error.message, inputs=error.inputs)
    except FlowFailed as error:
        log.error("%s [%s] %s", error.message, request_id, error.detail)
        return _error(500, "FlowFailed", error.message, request_id=request_id)
    except HTTPException as error:
        return _http_error(request, error)
    except ClientDisconnect:
        return Response(status_code=499)
    except asyncio.CancelledError:
        # The grace period is over, and the server ends what still runs.
        return _error(503, "Stopping", "the server is about to stop", request_id=request_id)
    except Exception:
        log.exception("unexpected failure [%s]", request_id)
        return _error(500, "InternalError", "the server failed", request_id=request_id)


async def _body(request: Request, limit: int) -> bytes:
    """Read the body, up to `limit` bytes: a length that a client claims is not believed."""
    announced = request.headers.get("content-length", "")
    body = bytearray()
    too_large = announced.isdecimal() and int(announced) > limit
    if not too_large:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                too_large = True
                break
    if too_large:
        raise HTTPException(413, f"the body is larger than {limit} bytes")
    return bytes(body)


def _accepted(request: Request) -> set[str]:
    """Return the media types of all Accept headers; `*/*` without one (RFC 9110, 12.5.1)."""
    values = ",".join(request.headers.getlist("accept"))
    return {part.split(";")[0].strip().lower() for part in values.split(",") if part.strip()} or {
        "*/*"
    }


async def _events(stream: Stream) -> AsyncIterator[str]:
    """Yield server-sent events as promptflow does: the complete fields, then each chunk."""
    if stream.fields:
        yield _event(dict(stream.fields))
    chunks = stream.chunks
    try:
        async for chunk in chunks:
            yield _event({stream.name: chunk})
    except Exception:
        # The status is sent already: the failure can only be told as an event of its own.
        log.exception("the stream broke")
        failure = {"error": {"code": "FlowFailed", "message": "the flow failed while it streamed"}}
        yield f"event: error\n{_event(failure)}"
    finally:
        close = getattr(chunks, "aclose", None)
        if close:
            await close()


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _json(value: Any) -> Response:
    try:
        return JSONResponse(value)
    except (TypeError, ValueError) as error:
        raise FlowFailed("the flow's answer cannot be written as JSON", str(error)) from None


def _error(status: int, code: str, message: str, **more: Any) -> Response:
    content = {"error": {"code": code, "message": message, **more}}
    return JSONResponse(content, status_code=status)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    names = {404: "NotFound", 405: "MethodNotAllowed", 406: "NotAcceptable", 413: "BodyTooLarge"}
    response = _error(error.status_code, names.get(error.status_code, "HttpError"), error.detail)
    response.headers.update(error.headers or {})
    return response
