"""HTTP of unusual clients, byte by byte: upgrades, trailers, pipelines, invalid input."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from deploy.testing.waiting import until
from tests.integration import raw_http
from tests.integration.conftest import Start, built
from tests.integration.running_container import Running

Serving = Callable[[str], Running]
BODY = b'{"question": "How many days of leave do I have?"}'
# What Java's HttpClient sends with its first request to a server without TLS.
UPGRADE = (
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
)


def test_a_request_that_asks_for_an_upgrade_is_served_without(serving: Serving) -> None:
    """The connection is used on, too."""
    parts = urlsplit(serving("faq").url)
    connection = http.client.HTTPConnection(str(parts.hostname), int(parts.port or 80), timeout=30)
    for headers in ({**dict(UPGRADE)}, {}, {**dict(UPGRADE)}):
        connection.request("POST", "/score", BODY, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        assert response.status == 200
        assert b"answer" in response.read()
    connection.close()


def test_a_chunked_request_that_asks_for_an_upgrade_too(serving: Serving) -> None:
    answer = raw_http.exchange(serving("faq").url, raw_http.chunked([BODY], *UPGRADE))
    assert answer.status == 200
    assert "answer" in answer.body


def test_trailers_are_left_out(start: Start) -> None:
    """A key in one opens nothing."""
    key = "a-key-of-sixteen-characters"
    running = start(built("faq")[1], SERVE_KEY=key)
    chunk = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    trailer = b"0\r\nAuthorization: Bearer %s\r\n\r\n" % key.encode()
    headers = (("Transfer-Encoding", "chunked"), ("Content-Type", "application/json"))
    refused = raw_http.exchange(
        running.url, raw_http.Sent("POST", "/score", headers, (chunk, trailer))
    )
    assert refused.status == 401
    allowed = (*headers, ("Authorization", f"Bearer {key}"))
    served = raw_http.exchange(
        running.url, raw_http.Sent("POST", "/score", allowed, (chunk, trailer))
    )
    assert served.status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 101 + b"\r\n", 431),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01", 400),
    ],
)
def test_a_rejected_request_is_logged(sent: bytes, status: int, serving: Serving) -> None:
    assert _raw(serving("faq").url, sent).startswith(b"HTTP/1.1 %d " % status)


def test_malformed_requests_do_not_flood_the_log(start: Start) -> None:
    running = start(built("faq")[1], SERVE_WORKERS="1")
    for _ in range(200):
        _raw(running.url, b"\x00")
    running.container.kill("SIGTERM")
    until(lambda: "199 more" in running.logs())
    lines = [line for line in running.logs().splitlines() if "refused" in line]
    assert [line.partition(" serve ")[2] for line in lines] == [
        "refused a client: data that is not HTTP",
        "refused 199 more clients: data that is not HTTP (199)",
    ]


def _raw(url: str, sent: bytes) -> bytes:
    """Send bytes; return what comes back until the connection ends."""
    parts = urlsplit(url)
    got = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(sent)
        try:
            while more := connection.recv(65536):
                got += more
        except ConnectionError:
            pass
    return got
