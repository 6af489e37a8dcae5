"""What a client can hold or demand of one connection, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from deploy.runtime import http_protocol
from deploy.runtime.http_protocol import HEAD_BYTES, HEAD_SECONDS, HEADER_LINES, PIPELINED
from tests.unit.http_connection import Client, Server, run

CHUNKED = b"POST /score HTTP/1.1\r\nHost: flow\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: flow\r\n\r\n"


class App:
    """An application that tells what it was sent; it reads bodies of POST, once `gate` is open."""

    def __init__(self, answer: bytes = b"") -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[dict[str, Any]] = []
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = {"path": scope["path"], "headers": dict(scope["headers"]), "body": b""}
        self.seen.append(seen)
        await self.gate.wait()
        more = scope["method"] == "POST"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            seen["body"] += message["body"]
            more = message["more_body"]
        body = self._answer or json.dumps(len(self.seen)).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /score HTTP/1.1", b"Host: flow", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunk(body: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(body), extension, body)


# --- bytes outside of bodies


@pytest.mark.parametrize(
    ("begin", "piece", "status"),
    [
        (b"GET /", b"x" * 1000, b"431"),
        (b"GET / HTTP/1.1\r\nX-Long: ", b"x" * 1000, b"431"),
        (b"GET / HTTP/1.1\r\n", b"a:b\r\n", b"431"),
        (b"", b"\r\n" * 100, b"431"),
        (CHUNKED + b"0\r\n", b"X-Trailer: a\r\n" * 10, b"400"),
        (CHUNKED + b"0\r\nX-Trailer: ", b"x" * 1000, b"400"),
        (CHUNKED + b"1", b";extension=1" * 10, b"400"),
        (CHUNKED, chunk(b"x") * 10, b"400"),
        (CHUNKED, chunk(b"x", b";e=1") * 10, b"400"),
    ],
    ids=[
        "target",
        "header",
        "header lines",
        "empty lines",
        "trailers",
        "trailer",
        "extension",
        "tiny chunks",
        "tiny chunks with extensions",
    ],
)
def test_what_is_outside_of_bodies_has_a_limit(begin: bytes, piece: bytes, status: bytes) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(begin)
        sent = 0
        while not client.closed and sent < 100 * HEAD_BYTES:
            await client.send(piece)
            sent += len(piece)
        assert client.closed
        assert sent <= 2 * HEAD_BYTES
        assert (await client.receive_all()).startswith(b"HTTP/1.1 " + status)

    run(scenario, App())


@pytest.mark.parametrize(
    "head", [b"GET /%s HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX-Long: %s\r\n\r\n"]
)
def test_a_long_head_that_comes_at_once(head: bytes) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(head % (b"x" * HEAD_BYTES))
        assert (await client.receive_all()).startswith(b"HTTP/1.1 431 ")

    run(scenario, App())


def test_a_body_that_comes_with_its_head_is_none_of_it() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(post(b"x" * (HEAD_BYTES + 1000)))
        await client.receive(b"\r\n\r\n1")

    run(scenario, app)


def test_a_body_in_chunks_of_lines_has_its_framing() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(CHUNKED)
        for _ in range(200):
            await client.send(chunk(b"x" * 80) * 80)
        await client.send(b"0\r\n\r\n")
        await client.receive(b"\r\n\r\n1")
        assert len(app.seen[0]["body"]) == 80 * 80 * 200

    run(scenario, app)


def test_as_many_header_lines_as_allowed() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(post(b"{}", *[b"X-%d: 1" % n for n in range(HEADER_LINES - 2)]))
        await client.receive(b"\r\n\r\n1")
        assert len(app.seen[0]["headers"]) == HEADER_LINES

    run(scenario, app)


def test_trailers_never_become_headers() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        client = await server.connect()
        trailers = b"Authorization: Bearer x\r\nHost: other\r\n\r\n"
        await client.send(CHUNKED + chunk(b"{}") + b"0\r\n" + trailers + GET)
        await client.receive(b"\r\n\r\n2")

    run(scenario, app)
    assert [seen["path"] for seen in app.seen] == ["/score", "/health"]
    assert app.seen[0]["headers"] == {b"host": b"flow", b"transfer-encoding": b"chunked"}
    assert app.seen[0]["body"] == b"{}"
    assert app.seen[1]["headers"] == {b"host": b"flow"}


# --- deadlines


async def new(client: Client) -> None:
    """Send nothing on a new connection."""


async def partial(client: Client) -> None:
    await client.send(GET[:10])


async def partial_next(client: Client) -> None:
    await client.send(GET)
    await client.receive(b"\r\n\r\n1")
    await client.send(GET[:10])


async def partial_next_at_once(client: Client) -> None:
    await client.send(GET + GET[:10])
    await client.receive(b"\r\n\r\n1")


async def empty_line_next(client: Client) -> None:
    await client.send(GET)
    await client.receive(b"\r\n\r\n1")
    await client.send(b"\r\n")


async def body_of_an_answered_request(client: Client) -> None:
    await client.send(GET[:-2] + b"Content-Length: 10\r\n\r\n1")
    await client.receive(b"\r\n\r\n1")


@pytest.mark.parametrize(
    "begin",
    [
        new,
        partial,
        partial_next,
        partial_next_at_once,
        empty_line_next,
        body_of_an_answered_request,
    ],
)
def test_what_is_begun_has_a_deadline(begin: Callable[[Client], Any]) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await begin(client)
        await server.step(HEAD_SECONDS - 5)
        assert not client.closed
        await client.send(b"X")
        await server.step(10)
        assert client.closed
        assert len(server.connections) == 0

    run(scenario, App())


def test_a_request_in_work_has_none_and_keeps_its_answer() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        client = await server.connect()
        await client.send(GET + GET[:10])
        await server.step(3 * HEAD_SECONDS)
        app.gate.set()
        assert (await client.receive_all()).endswith(b"connection: close\r\n\r\n1")

    run(scenario, app)


def test_an_idle_connection_is_kept_longer() -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(GET)
        await client.receive(b"\r\n\r\n1")
        await server.step(2 * HEAD_SECONDS)
        await client.send(GET)
        await client.receive(b"\r\n\r\n2")

    run(scenario, App())


def test_a_client_that_does_not_read_its_answer_is_let_go() -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect(window=4096)
        await client.send(GET)
        assert client.protocol.transport.get_write_buffer_size()
        await server.step(http_protocol.READING_SECONDS + 5)
        assert client.closed
        assert len(server.connections) == 0

    run(scenario, App(b"x" * 1_000_000))


def test_a_client_that_reads_slowly_gets_its_answer() -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect(window=4096)
        await client.send(GET)
        got = b""
        while not got.endswith(b"end"):
            got += await client.receive_some()
            await server.step(20)
        assert len(got) > 1_000_000

    run(scenario, App(b"x" * 1_000_000 + b"end"))


# --- pipelining


def test_pipelined_requests_are_answered_in_their_order() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        client = await server.connect()
        await client.send(post(b'{"a": 1}') * 3 + GET[:5])
        # While requests wait nothing more can be read, and the client is not held to it.
        await server.step(2 * HEAD_SECONDS)
        app.gate.set()
        got = await client.receive(b"\r\n\r\n3")
        assert got.count(b"200 OK") == 3
        await client.send(GET[5:])
        await client.receive(b"\r\n\r\n4")

    run(scenario, app)
    assert [seen["body"] for seen in app.seen] == [b'{"a": 1}'] * 3 + [b""]


def test_more_pipelined_requests_than_may_wait_are_not_taken() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        client = await server.connect()
        for _ in range(5):
            await client.send(GET * 1000)
        assert len(client.protocol.pipeline) == PIPELINED
        app.gate.set()
        got = await client.receive_all()
        assert got.count(b"200 OK") == PIPELINED + 1
        assert got.count(b"connection: close") == 1

    run(scenario, app)
    assert len(app.seen) == PIPELINED + 1


def test_bodies_of_waiting_requests_are_not_read() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        client = await server.connect()
        large = post(b"x" * 5_000_000)
        sending = asyncio.ensure_future(client.send(GET + large))
        await server.step(10)
        assert not sending.done()
        assert len(client.protocol.cycle.body) < 4 * http_protocol.READ_BYTES
        app.gate.set()
        await client.receive(b"\r\n\r\n2")
        assert len(app.seen[1]["body"]) == 5_000_000

    run(scenario, app)


# --- what is not HTTP, or another protocol


@pytest.mark.parametrize("verb", [b"POST", b"GET"])
@pytest.mark.parametrize("at_once", [True, False])
def test_an_upgrade_is_ignored_and_the_request_is_served(verb: bytes, at_once: bool) -> None:
    app = App()
    body = b'{"question": "a"}' if verb == b"POST" else b""
    asked = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAA")
    request = post(body, *asked).replace(b"POST", verb)
    if not body:
        request = request.replace(b"Content-Length: 0\r\n", b"")

    async def scenario(server: Server) -> None:
        client = await server.connect()
        pieces = [request] if at_once else [bytes([byte]) for byte in request]
        for piece in pieces:
            await client.send(piece)
        await client.receive(b"\r\n\r\n1")
        await client.send(GET)
        await client.receive(b"\r\n\r\n2")

    run(scenario, app)
    assert app.seen[0]["body"] == body
    assert b"upgrade" not in app.seen[0]["headers"]
    assert app.seen[0]["headers"][b"host"] == b"flow"


def test_an_upgrade_of_a_chunked_request_and_what_follows_it() -> None:
    app = App()
    request = CHUNKED[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"

    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(request + chunk(b"{}") + b"0\r\n\r\n" + GET)
        await client.receive(b"\r\n\r\n2")

    run(scenario, app)
    assert [seen["body"] for seen in app.seen] == [b"{}", b""]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT flow:80 HTTP/1.1\r\nHost: flow\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        CHUNKED + b"not a size\r\n",
        CHUNKED.replace(b"Host", b"Content-Length: 5\r\nHost"),
    ],
)
def test_what_is_not_http_is_400_and_the_end(request_bytes: bytes) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(request_bytes)
        got = await client.receive_all()
        assert got.startswith(b"HTTP/1.1 400 ")
        assert got.count(b"HTTP/1.1") == 1

    run(scenario, App())


def test_what_follows_a_request_in_work_does_not_take_its_answer() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        client = await server.connect()
        await client.send(GET)
        await client.send(b"\x00" * 100)
        app.gate.set()
        got = await client.receive_all()
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.count(b"HTTP/1.1") == 1

    run(scenario, app)


def test_malformed_requests_are_counted_and_do_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(server: Server) -> None:
        for _ in range(100):
            client = await server.connect()
            await client.send(b"\x00")
            await client.receive_all()
        await server.step(65)
        await server.step(65)
        client = await server.connect()
        await client.send(b"\x00")
        await client.receive_all()

    run(scenario, App())
    assert [record.getMessage() for record in caplog.records] == [
        "refused a client: what is not HTTP",
        "refused 99 more clients: what is not HTTP (99)",
        "refused a client: what is not HTTP",
    ]


# --- many connections


def test_waiting_connections_make_room_for_new_ones() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        busy = await server.connect()
        await busy.send(GET)
        slow = await server.connect()
        await slow.send(CHUNKED)
        idle = [await server.connect() for _ in range(8)]
        newest = await server.connect()
        assert slow.closed
        assert [client.closed for client in (busy, *idle, newest)] == [False] * 10
        app.gate.set()
        await busy.receive(b"\r\n\r\n2")

    run(scenario, app, limit=10)


def test_where_all_are_in_work_a_new_connection_is_503() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        busy = [await server.connect() for _ in range(3)]
        for client in busy:
            await client.send(GET)
        refused = await server.connect()
        assert (await refused.receive_all()).startswith(b"HTTP/1.1 503 ")

    run(scenario, app, limit=3)
