"""The container's contract over HTTP: /score, /health, /version, /swagger.json."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from . import access, logs, openapi, request_body
from .memory_budget import MemoryBudget, MemoryShare
from .piecewise_response import PiecewiseResponse
from .request_body import overloaded
from .scorer import BadInput, FlowFailed, Scorer, Stream
from .settings import Settings
from .vitals import Board

log = logging.getLogger("serve")

EVENTS = "text/event-stream"
# Probes of a platform have no key; all else is for callers that are let in.
OPEN = "/health"
JSON_TYPES = {"application/json", "application/*", "*/*"}


class Application:
    """The ASGI application that serves `scorer`.

    `about` is the answer of /version and has `flow`, `tag` and `commit`. Requests are shown on
    `board` while they are scored. After `close` each answer is the last one of its connection.
    """

    def __init__(
        self,
        scorer: Scorer,
        about: Mapping[str, Any],
        settings: Settings,
        board: Board | None = None,
    ) -> None:
        self._scorer = scorer
        self._settings = settings
        self._most = settings.threads + settings.queue
        self._at_work = 0
        self._memory = MemoryBudget(settings.request_memory)
        self._closing = False
        self._board = board or Board(0)
        # Tells whether no thread is left to score with.
        self.threads_lost: Callable[[], bool] = lambda: False
        version = {name: about[name] for name in ("flow", "tag", "commit")}
        if settings.deployment:
            version["deployment"] = settings.deployment
        swagger = openapi.document(
            about["flow"], about["tag"], scorer.inputs, scorer.outputs, bool(settings.keys)
        )
        self._fixed: Mapping[str, bytes] = {
            path: json.dumps(content).encode()
            for path, content in (
                ("/health", {"status": "healthy"}),
                ("/version", version),
                ("/swagger.json", swagger),
            )
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        with self._memory.share() as share:
            response = await self._respond(request, share)
            if self._closing:
                response.headers["connection"] = "close"
            await response(scope, receive, send)

    def close(self) -> None:
        """Answer what comes, and let each connection end with that."""
        self._closing = True

    async def _respond(self, request: Request, share: MemoryShare) -> Response:
        path, method = request.scope["path"], request.method
        if path != OPEN:
            given = request.headers.getlist("authorization")
            refused = access.refusal(self._settings.keys, given)
            if refused:
                return _unauthorized(refused)
        if path == "/score":
            if method != "POST":
                return _not_allowed("POST")
            return await self._score(request, share)
        if path == OPEN and self.threads_lost():
            return _error(503, "ThreadsLost", "no request can be scored")
        content = self._fixed.get(path)
        if content is None:
            return _error(404, "NotFound", "there is no such path; POST to /score")
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD")
        return Response(content, media_type="application/json")

    async def _score(self, request: Request, share: MemoryShare) -> Response:
        """Score, and write one line a request: never an input or an output."""
        request_id = _request_id(request)
        logs.request_id.set(request_id)
        start = time.perf_counter()
        response = await self._answer(request, request_id, share)
        if not isinstance(response, StreamingResponse):
            # The inputs are no longer needed; the answer is, until the client has read it.
            share.resize(len(response.body))
        response.headers["x-request-id"] = request_id
        spent = (time.perf_counter() - start) * 1000
        told = {"status": response.status_code, "duration_ms": round(spent, 1)}
        log.info("score %d %.0f ms %s", response.status_code, spent, request_id, extra=told)
        return response

    async def _answer(self, request: Request, request_id: str, share: MemoryShare) -> Response:
        received = False
        try:
            self._refuse_if_overloaded()
            with anyio.fail_after(self._settings.timeout):
                body = await request_body.receive(
                    request, self._settings.body_limit, share, self._refuse_if_overloaded
                )
                received = True
                self._refuse_if_overloaded()
                self._at_work += 1
                try:
                    with self._board.request(request_id):
                        return await self._scored(request, body, share)
                finally:
                    self._at_work -= 1
        except BadInput as error:
            return _error(400, error.code, error.message, inputs=error.inputs)
        except FlowFailed as error:
            log.error("%s [%s] %s", error.message, request_id, error.detail)
            response = _error(error.status, error.code, error.message, request_id=request_id)
            if error.retry_after:
                response.headers["retry-after"] = error.retry_after
            return response
        except HTTPException as error:
            return _http_error(error, request_id)
        except TimeoutError:
            return self._too_late(received, request_id)
        except ClientDisconnect:
            return Response(status_code=499)
        except asyncio.CancelledError:
            # The grace period is over, and the server ends what still runs.
            return _error(503, "Stopping", "the server is about to stop", request_id=request_id)
        except Exception:
            log.exception("unexpected failure [%s]", request_id)
            return _error(500, "InternalError", "the server failed", request_id=request_id)

    def _refuse_if_overloaded(self) -> None:
        if self._at_work >= self._most or self._memory.used > self._memory.limit:
            raise overloaded()

    def _too_late(self, received: bool, request_id: str) -> Response:
        seconds = self._settings.timeout
        if not received:
            return _error(408, "BodyTooSlow", f"the body did not arrive within {seconds} s")
        return _error(504, "Timeout", f"no answer within {seconds} s", request_id=request_id)

    async def _scored(
        self, request: Request, body: request_body.Body, share: MemoryShare
    ) -> Response:
        values = request_body.read(body, self._scorer.inputs, share)
        accepted = _accepted(request)
        wants_events = EVENTS in accepted
        if not (wants_events or accepted & JSON_TYPES):
            raise HTTPException(406, f"this flow answers with application/json or {EVENTS}")
        try:
            result = await self._scorer.score(values, stream=wants_events)
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            # Only the flow's own code can raise these here; they must not end the server.
            message = f"the flow failed ({type(error).__name__})"
            raise FlowFailed(message, traceback.format_exc().strip()) from None
        if isinstance(result, Stream):
            return StreamingResponse(
                _events(result, self._board.request(logs.request_id.get())),
                media_type=EVENTS,
                # Proxies in front of App Service and others buffer events unless told not to.
                headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
            )
        if not accepted & JSON_TYPES:
            raise HTTPException(406, "this flow does not stream: accept application/json as well")
        return _json(result)


def _request_id(request: Request) -> str:
    """Return the client's id for the request, or a new one.

    It goes into a log line and back into a header: only what cannot forge either.
    """
    given = request.headers.get("x-request-id", "")[:128]
    if given.isascii() and given.replace("-", "").replace("_", "").isalnum():
        return given
    return uuid.uuid4().hex


def _accepted(request: Request) -> set[str]:
    """Return the media types of all Accept headers; `*/*` without one (RFC 9110, 12.5.1)."""
    values = ",".join(request.headers.getlist("accept"))
    return {part.split(";")[0].strip().lower() for part in values.split(",") if part.strip()} or {
        "*/*"
    }


async def _events(stream: Stream, shown: AbstractContextManager[None]) -> AsyncIterator[str]:
    """Yield server-sent events as promptflow does: the complete fields, then each chunk.

    The request is `shown` meanwhile.
    """
    with shown:
        if stream.fields:
            yield _event(dict(stream.fields))
        chunks = stream.chunks
        try:
            async for chunk in chunks:
                yield _event({stream.name: chunk})
        except Exception:
            # The status is sent already: the failure can only be sent as an event of its own.
            log.exception("the stream broke")
            failure = {
                "error": {"code": "FlowFailed", "message": "the flow failed while it streamed"}
            }
            yield f"event: error\n{_event(failure)}"
        finally:
            close = getattr(chunks, "aclose", None)
            if close:
                await close()


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _json(value: Any) -> Response:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
        return PiecewiseResponse(text, media_type="application/json")
    except (TypeError, ValueError) as error:
        raise FlowFailed("the flow's answer cannot be written as JSON", str(error)) from None


def _plain(value: Any) -> Any:
    """Return what stands for `value` in JSON: a dataclass is an object, as in promptflow."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _error(status: int, code: str, message: str, **more: Any) -> Response:
    content = {"error": {"code": code, "message": message, **more}}
    return JSONResponse(content, status_code=status)


_CODES = {406: "NotAcceptable", 413: "BodyTooLarge", 503: "Overloaded"}


def _http_error(error: HTTPException, request_id: str) -> Response:
    more = {"request_id": request_id} if error.status_code == 503 else {}
    response = _error(error.status_code, _CODES[error.status_code], error.detail, **more)
    if error.status_code == 503:
        response.headers["retry-after"] = "1"
    return response


def _unauthorized(why: str) -> Response:
    response = _error(401, "Unauthorized", why)
    response.headers["www-authenticate"] = access.challenge(why)
    return response


def _not_allowed(methods: str) -> Response:
    response = _error(405, "MethodNotAllowed", f"this path takes {methods}")
    response.headers["allow"] = methods
    return response
