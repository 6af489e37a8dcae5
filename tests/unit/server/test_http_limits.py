"""Limits of a request outside of its body."""

from __future__ import annotations

import pytest

from deploy.server.http_protocol import MAX_HEAD_BYTES, MAX_HEADER_LINES
from tests.unit.server.http_connection import CHUNKED, GET, App, Server, chunk, post, run


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
def test_heads_and_framing_have_a_limit(begin: bytes, piece: bytes, status: bytes) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(begin)
        sent = 0
        while not client.closed and sent < 100 * MAX_HEAD_BYTES:
            await client.send(piece)
            sent += len(piece)
        assert client.closed
        assert sent <= 2 * MAX_HEAD_BYTES
        assert (await client.receive_all()).startswith(b"HTTP/1.1 " + status)

    run(scenario, App())


@pytest.mark.parametrize(
    "head", [b"GET /%s HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX-Long: %s\r\n\r\n"]
)
def test_a_long_head_that_comes_at_once(head: bytes) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(head % (b"x" * MAX_HEAD_BYTES))
        assert (await client.receive_all()).startswith(b"HTTP/1.1 431 ")

    run(scenario, App())


def test_a_body_that_comes_with_its_head_is_none_of_it() -> None:
    app = App()

    async def scenario(server: Server) -> None:
        client = await server.connect()
        await client.send(post(b"x" * (MAX_HEAD_BYTES + 1000)))
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
        await client.send(post(b"{}", *[b"X-%d: 1" % n for n in range(MAX_HEADER_LINES - 2)]))
        await client.receive(b"\r\n\r\n1")
        assert len(app.seen[0]["headers"]) == MAX_HEADER_LINES

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
