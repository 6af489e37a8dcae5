"""How long a client may take to send, and to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deploy.server.deadlines import READING_SECONDS
from deploy.server.http_protocol import HEAD_SECONDS
from tests.unit.server.http_connection import GET, App, Client, Server, run


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
def test_a_started_request_has_a_deadline(begin: Callable[[Client], Any]) -> None:
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


def test_a_running_request_has_no_deadline_and_gets_its_response() -> None:
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


def test_a_client_that_does_not_read_its_response_is_disconnected() -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect(window=4096)
        await client.send(GET)
        assert client.protocol.transport.get_write_buffer_size()
        await server.step(READING_SECONDS + 5)
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
