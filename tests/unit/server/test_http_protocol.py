"""Successive requests on a connection, and input that is not HTTP/1.1."""

from __future__ import annotations

import asyncio

import pytest

from deploy.server.http_protocol import HEAD_SECONDS, MAX_PIPELINED, READ_BYTES
from tests.unit.server.http_connection import CHUNKED, GET, App, Server, chunk, post, run


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
        assert len(client.protocol.pipeline) == MAX_PIPELINED
        app.gate.set()
        got = await client.receive_all()
        assert got.count(b"200 OK") == MAX_PIPELINED + 1
        assert got.count(b"connection: close") == 1

    run(scenario, app)
    assert len(app.seen) == MAX_PIPELINED + 1


def test_bodies_of_waiting_requests_are_not_read() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        client = await server.connect()
        large = post(b"x" * 5_000_000)
        sending = asyncio.ensure_future(client.send(GET + large))
        await server.step(10)
        assert not sending.done()
        assert len(client.protocol.cycle.body) < 4 * READ_BYTES
        app.gate.set()
        await client.receive(b"\r\n\r\n2")
        assert len(app.seen[1]["body"]) == 5_000_000

    run(scenario, app)


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
def test_input_that_is_not_http_is_400_and_closes_the_connection(request_bytes: bytes) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(request_bytes)
        got = await client.receive_all()
        assert got.startswith(b"HTTP/1.1 400 ")
        assert got.count(b"HTTP/1.1") == 1

    run(scenario, App())


def test_a_pipelined_request_does_not_take_the_response_of_the_previous_one() -> None:
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
        "refused a client: data that is not HTTP",
        "refused 99 more clients: data that is not HTTP (99)",
        "refused a client: data that is not HTTP",
    ]


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


def test_a_new_connection_is_503_if_all_are_busy() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        app.gate.clear()
        busy = [await server.connect() for _ in range(3)]
        for client in busy:
            await client.send(GET)
        refused = await server.connect()
        assert (await refused.receive_all()).startswith(b"HTTP/1.1 503 ")

    run(scenario, app, limit=3)
