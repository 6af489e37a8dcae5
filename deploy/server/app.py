"""The HTTP interface of the container: /score, /health, /version, /swagger.json."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from . import auth, logs, openapi, request_body
from .memory_budget import MemoryBudget, MemoryShare
from .request_body import overload_error
from .responses import (
    EVENT_STREAM,
    error_response,
    event_response,
    http_error_response,
    json_response,
    method_not_allowed,
    unauthorized,
)
from .scorer import BadInput, FlowError, Scorer, Stream
from .settings import Settings
from .worker_status import WorkerStatus

log = logging.getLogger("serve")

# The health probes of a platform cannot send a key. All other paths require authentication.
HEALTH_PATH = "/health"
JSON_TYPES = {"application/json", "application/*", "*/*"}


class Application:
    """The ASGI application that serves a flow.

    `about` is the image's metadata: `flow`, `tag` and `commit`. `board` lists the requests that
    are being scored.
    """

    def __init__(
        self,
        scorer: Scorer,
        about: Mapping[str, Any],
        settings: Settings,
        board: WorkerStatus | None = None,
    ) -> None:
        self._scorer = scorer
        self._settings = settings
        self._max_requests = settings.threads + settings.queue
        self._running_requests = 0
        self._memory = MemoryBudget(settings.request_memory)
        self._closing = False
        self._board = board or WorkerStatus(0)
        # Returns whether no thread is left for scoring.
        self.threads_lost: Callable[[], bool] = lambda: False
        version = {name: about[name] for name in ("flow", "tag", "commit")}
        if settings.deployment:
            version["deployment"] = settings.deployment
        swagger = openapi.build_document(
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
        """Continue to answer requests, and close each connection after its next response."""
        self._closing = True

    async def _respond(self, request: Request, share: MemoryShare) -> Response:
        path, method = request.scope["path"], request.method
        if path != HEALTH_PATH:
            authorization = request.headers.getlist("authorization")
            problem = auth.check_key(self._settings.keys, authorization)
            if problem:
                return unauthorized(problem)
        if path == "/score":
            if method != "POST":
                return method_not_allowed("POST")
            return await self._score(request, share)
        if path == HEALTH_PATH and self.threads_lost():
            return error_response(503, "ThreadsLost", "no request can be scored")
        content = self._fixed.get(path)
        if content is None:
            return error_response(404, "NotFound", "there is no such path; POST to /score")
        if method not in ("GET", "HEAD"):
            return method_not_allowed("GET, HEAD")
        return Response(content, media_type="application/json")

    async def _score(self, request: Request, share: MemoryShare) -> Response:
        """Score a request, and log one line for it, which never contains an input or an output."""
        request_id = _request_id(request)
        logs.request_id.set(request_id)
        start = time.perf_counter()
        response = await self._handle_score(request, request_id, share)
        if not isinstance(response, StreamingResponse):
            # The inputs are no longer needed. The response is, until the client has read it.
            share.resize(len(response.body))
        response.headers["x-request-id"] = request_id
        duration_ms = (time.perf_counter() - start) * 1000
        fields = {"status": response.status_code, "duration_ms": round(duration_ms, 1)}
        log.info("score %d %.0f ms %s", response.status_code, duration_ms, request_id, extra=fields)
        return response

    async def _handle_score(
        self, request: Request, request_id: str, share: MemoryShare
    ) -> Response:
        received = False
        try:
            self._refuse_if_overloaded()
            with anyio.fail_after(self._settings.timeout):
                body = await request_body.receive(
                    request, self._settings.body_limit, share, self._refuse_if_overloaded
                )
                received = True
                self._refuse_if_overloaded()
                self._running_requests += 1
                try:
                    with self._board.track_request(request_id):
                        return await self._run_flow(request, body, share)
                finally:
                    self._running_requests -= 1
        except BadInput as error:
            return error_response(400, error.code, error.message, inputs=error.inputs)
        except FlowError as error:
            log.error("%s [%s] %s", error.message, request_id, error.detail)
            response = error_response(
                error.status, error.code, error.message, request_id=request_id
            )
            if error.retry_after:
                response.headers["retry-after"] = error.retry_after
            return response
        except HTTPException as error:
            return http_error_response(error, request_id)
        except TimeoutError:
            return self._timeout_response(received, request_id)
        except ClientDisconnect:
            return Response(status_code=499)
        except asyncio.CancelledError:
            # The grace period is over, and the server cancels the requests that still run.
            return error_response(
                503, "Stopping", "the server is about to stop", request_id=request_id
            )
        except Exception:
            log.exception("unexpected failure [%s]", request_id)
            return error_response(500, "InternalError", "the server failed", request_id=request_id)

    def _refuse_if_overloaded(self) -> None:
        if self._running_requests >= self._max_requests or self._memory.used > self._memory.limit:
            raise overload_error()

    def _timeout_response(self, received: bool, request_id: str) -> Response:
        seconds = self._settings.timeout
        if not received:
            return error_response(408, "BodyTooSlow", f"the body did not arrive within {seconds} s")
        return error_response(
            504, "Timeout", f"no answer within {seconds} s", request_id=request_id
        )

    async def _run_flow(
        self, request: Request, body: request_body.Body, share: MemoryShare
    ) -> Response:
        values = request_body.read(body, self._scorer.inputs, share)
        accepted = _read_accepted_types(request)
        wants_events = EVENT_STREAM in accepted
        if not (wants_events or accepted & JSON_TYPES):
            raise HTTPException(406, f"this flow answers with application/json or {EVENT_STREAM}")
        try:
            result = await self._scorer.score(values, stream=wants_events)
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            # Only the flow's own code can raise these here. They must not stop the server.
            message = f"the flow failed ({type(error).__name__})"
            raise FlowError(message, traceback.format_exc().strip()) from None
        if isinstance(result, Stream):
            return event_response(result, self._board.track_request(logs.request_id.get()))
        if not accepted & JSON_TYPES:
            raise HTTPException(406, "this flow does not stream: accept application/json as well")
        return json_response(result)


def _request_id(request: Request) -> str:
    """Return the client's id for the request, or a new id.

    The id is written to a log line and to a response header, so only characters that cannot forge
    either are accepted.
    """
    client_id = request.headers.get("x-request-id", "")[:128]
    if client_id.isascii() and client_id.replace("-", "").replace("_", "").isalnum():
        return client_id
    return uuid.uuid4().hex


def _read_accepted_types(request: Request) -> set[str]:
    """Return the media types of all Accept headers; `*/*` if there is none (RFC 9110, 12.5.1)."""
    values = ",".join(request.headers.getlist("accept"))
    return {part.split(";")[0].strip().lower() for part in values.split(",") if part.strip()} or {
        "*/*"
    }
