"""A model server for tests: OpenAI's chat completions API, with OpenAI's and Azure's paths.

Requests are checked as the real service would (key, model, messages); answers follow from the
prompt, so that tests can predict them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN = "token-of-the-managed-identity"
KEY = "test-key-0123456789abcdef"
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    # The real service does not only return numbers.
    "prompt_tokens_details": {"cached_tokens": 0},
}


@dataclass
class ModelServer:
    """The server's behaviour, and the requests that it received."""

    # Seconds before an answer or the first chunk.
    latency: float = 0.0
    # A status to answer with instead of an answer, `fail_times` times, or always if that is None.
    fail: int = 0
    # Whether a stream ends with the tokens used, as the real service does on request.
    usage: bool = False
    fail_times: int | None = None
    # The header Retry-After of a failure.
    retry_after: str = ""
    # Whether to answer with a page of HTML.
    answer_html: bool = False
    # The text to answer with; None for `build_answer`.
    answer: str | None = None
    # The number of chunks after which a stream breaks.
    cut_after: int | None = None
    # If given, an answer (of a stream: all after the first chunk) waits until it is set.
    gate: threading.Event | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    clients: set[Any] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        """The address as seen from a container on this machine's engine."""
        return f"{self.scheme}://host.docker.internal:{self.port}"

    def reset(self) -> None:
        """Restore the defaults, and forget recorded requests."""
        vars(self).update(vars(ModelServer(port=self.port, scheme=self.scheme)))

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route(
                    "/openai/deployments/{model}/chat/completions", self._azure, methods=["POST"]
                ),
                Route("/v1/chat/completions", self._openai, methods=["POST"]),
                Route("/identity", self._identity, methods=["GET"]),
            ]
        )

    async def _azure(self, request: Request) -> Response:
        if "api-version" not in request.query_params:
            return _error(404, "Resource not found")
        key = request.headers.get("api-key")
        if request.headers.get("authorization") == f"Bearer {TOKEN}":
            key = KEY
        return await self._complete(request, key, request.path_params["model"])

    async def _openai(self, request: Request) -> Response:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        return await self._complete(request, key, None)

    async def _identity(self, request: Request) -> Response:
        """Answer as the endpoint of a managed identity on App Service (api-version 2019-08-01)."""
        if request.headers.get("x-identity-header") != KEY:
            return _error(401, "the header X-IDENTITY-HEADER is missing or wrong")
        resource = request.query_params.get("resource")
        if resource != "https://cognitiveservices.azure.com":
            return _error(400, f"unexpected resource {resource}")
        answer = {"access_token": TOKEN, "resource": resource, "token_type": "Bearer"}
        return JSONResponse({**answer, "expires_on": str(int(time.time()) + 3600)})

    async def _wait_for_gate(self) -> None:
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, 30)

    async def _complete(self, request: Request, key: str | None, model: str | None) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.clients.add(request.client)
        if key != KEY:
            # Like the real service's, the error quotes a part of the request.
            return _error(401, f"Access denied due to invalid subscription key: {key}")
        if self.fail and self.fail_times != 0:
            if self.fail_times is not None:
                self.fail_times -= 1
            headers = {"Retry-After": self.retry_after} if self.retry_after else None
            return _error(self.fail, "the model server fails as configured", headers)
        if self.answer_html:
            return HTMLResponse("<html>a proxy's page</html>")
        if not body.get("messages"):
            return _error(400, "'messages' is required")
        await asyncio.sleep(self.latency)
        model = model or body["model"]
        text = build_answer(body["messages"]) if self.answer is None else self.answer
        if body.get("stream"):
            chunks = _chunks(text, model, self._wait_for_gate, self.usage, self.cut_after)
            return StreamingResponse(chunks, media_type="text/event-stream")
        await self._wait_for_gate()
        return JSONResponse(_completion(text, model))


def build_answer(messages: list[dict[str, Any]]) -> str:
    """Return the model's answer, for the prompts of the template's flows."""
    system = " ".join(_text(m) for m in messages if m["role"] == "system")
    user = [_text(m) for m in messages if m["role"] == "user"]
    last = user[-1] if user else ""
    if "Answer with one word" in system:
        if "?" in last:
            return "Question."
        return (
            "incident"
            if any(word in last.lower() for word in ("broken", "down", "crash"))
            else "other"
        )
    if "You read invoices" in system:
        return json.dumps(
            {"supplier": "Fabrikam Ltd", "amount": 1250.5, "currency": "EUR", "due": "2027-01-31"}
        )
    if "You grade replies" in system:
        return json.dumps({"fit": 5 if "Reply: " in last else 1})
    return f"[{len(messages)} messages] You said: {last}"


@contextlib.contextmanager
def serve(latency: float = 0.0, certificate: Path | None = None) -> Iterator[ModelServer]:
    """Run a server in a thread, on a free port of every interface; yield it.

    `certificate` is a file with a certificate and its key, to serve HTTPS.
    """
    model = ModelServer(latency=latency, scheme="https" if certificate else "http")
    listener = socket.socket()
    # Containers reach this machine through the bridge, not through the loopback interface.
    listener.bind(("0.0.0.0", 0))
    model.port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            model.app(),
            log_level="critical",
            lifespan="off",
            ssl_certfile=certificate,
            # A request sent just as an idle connection closes is answered with 502, because it is
            # never sent twice. uvicorn's default of 5 s makes that likely under load.
            timeout_keep_alive=600,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield model
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


async def _chunks(
    text: str,
    model: str,
    opened: Callable[[], Awaitable[None]],
    usage: bool,
    cut_after: int | None,
) -> AsyncIterator[str]:
    for number, piece in enumerate(text.split(" ")):
        if number == cut_after:
            # uvicorn closes the connection in the middle of the body.
            raise ConnectionAbortedError("the model server breaks the stream as configured")
        yield f"data: {json.dumps(_chunk({'content': piece + ' '}, model, None))}\n\n"
        await opened()
    yield f"data: {json.dumps(_chunk({}, model, 'stop'))}\n\n"
    if usage:
        last = {**_chunk({}, model, None), "choices": [], "usage": USAGE}
        yield f"data: {json.dumps(last)}\n\n"
    yield "data: [DONE]\n\n"


def _chunk(delta: dict[str, str], model: str, reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": [choice],
    }


def _completion(text: str, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    content = {"error": {"message": message, "code": str(status)}}
    return JSONResponse(content, status_code=status, headers=headers)
