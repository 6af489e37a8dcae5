"""A model server for load: as little work as an answer needs, in a process of its own.

It speaks OpenAI's chat-completions, in OpenAI's and in Azure's paths, and checks nothing; what
checks requests is deploy/sandbox/model_server.py. An answer comes after `--latency` seconds, at once where
the prompt contains `AT_ONCE`. Of a stream the first chunk comes after the latency, the others
`CHUNK_SECONDS` apart. Every other path is answered with an empty 200 and what was sent is thrown
away, so that it is a collector of telemetry, too.

Only the standard library is imported: the process shares two processors with what it is to measure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

AT_ONCE = "answer at once"
LATENCY_SECONDS = 0.3
CHUNKS = 25
CHUNK_SECONDS = 0.02
PATH = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-02-01"

_HEAD_END = b"\r\n\r\n"
_EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _answer() -> bytes:
    message = {"role": "assistant", "content": "The printer is beside the stairs."}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n"
    return head.encode() + b"\r\n" + text


def _chunk(delta: dict[str, str], reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [choice],
    }
    return _framed(f"data: {json.dumps(body)}\n\n".encode())


def _framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


_ANSWER = _answer()
_FIRST = _STREAM_HEAD + _chunk({"role": "assistant", "content": "The "}, None)
_NEXT = _chunk({"content": "printer "}, None)
_LAST = _chunk({}, "stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection: its requests are answered one after the other, in their order."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._received = bytearray()
        self._answering = False
        self._continued = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer no more."""
        self._transport = None
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what came, and begin with an answer once a request is complete."""
        self._received += data
        self._next()

    def _next(self) -> None:
        if self._answering:
            return
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        body, used = _body(head, self._received, end + len(_HEAD_END))
        if body is None:
            if b"100-continue" in head and not self._continued:
                self._continued = True
                self._write(_CONTINUE)
            return
        del self._received[:used]
        self._answering, self._continued = True, False
        if b"/chat/completions" not in head.partition(b"\r\n")[0]:
            self._finish(_EMPTY)
            return
        latency = 0.0 if AT_ONCE.encode() in body else self._latency
        if json.loads(body).get("stream"):
            self._later(latency, self._stream, _FIRST, CHUNKS)
        else:
            self._later(latency, self._finish, _ANSWER)

    def _stream(self, chunk: bytes, left: int) -> None:
        if not left:
            self._finish(_LAST)
            return
        self._write(chunk)
        self._later(CHUNK_SECONDS, self._stream, _NEXT, left - 1)

    def _finish(self, data: bytes) -> None:
        self._write(data)
        self._answering = False
        self._next()

    def _write(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)

    def _later(self, seconds: float, call: object, *arguments: object) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, call, *arguments)  # type: ignore[arg-type]


def _body(head: bytes, received: bytearray, start: int) -> tuple[bytes | None, int]:
    """Return the body that begins at `start`, and where it ends; no body where it is incomplete.

    `head` is in lower case.
    """
    if b"\r\ntransfer-encoding: chunked" in head:
        return _chunked(received, start)
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
    end = start + length
    return (bytes(received[start:end]), end) if len(received) >= end else (None, 0)


def _chunked(received: bytearray, at: int) -> tuple[bytes | None, int]:
    """Return the body in chunks that begins at `at`, and its end; trailers are not known."""
    body = bytearray()
    while (line := received.find(b"\r\n", at)) >= 0:
        size = int(bytes(received[at:line]).partition(b";")[0], 16)
        end = line + 2 + size
        if len(received) < end + 2:
            break
        if not size:
            return bytes(body), end + 2
        body += received[line + 2 : end]
        at = end + 2
    return None, 0


@dataclass(frozen=True)
class Model:
    """A model server in a process of its own."""

    port: int

    @property
    def endpoint(self) -> str:
        """The address as a container on this machine's engine sees it."""
        return f"http://host.docker.internal:{self.port}"


@contextmanager
def serve(latency: float = LATENCY_SECONDS) -> Iterator[Model]:
    """Run a server in another process, on a free port of every interface."""
    command = [sys.executable, "-m", __name__, "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the model server ended with {process.wait()}")
            yield Model(int(line))
        finally:
            process.terminate()


async def _serve(port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    # Containers reach this machine through the bridge, not through the loopback.
    server = await loop.create_server(lambda: Connection(latency), "0.0.0.0", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Print the port, and serve until terminated."""
    parser = argparse.ArgumentParser(description="A light model server, for load.")
    parser.add_argument("--port", type=int, default=0, help="a free one without it")
    parser.add_argument("--latency", type=float, default=LATENCY_SECONDS, help="seconds")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.latency))


if __name__ == "__main__":
    main()
