"""Forward requests to a server on this machine and relay its responses, as streams both ways."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterable, Iterator

from deploy.sandbox.http_exchange import CHUNK_BYTES, Exchange, Headers
from deploy.sandbox.https_server import HOST

# Headers about one connection, which are not forwarded (RFC 9110, 7.6.1).
HOP_BY_HOP = {
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
TIMEOUT = 120


def forward_request(
    port: int,
    exchange: Exchange,
    content: bytes | None = None,
    without: frozenset[str] = frozenset(),
    extra: Headers = (),
    timeout: float = TIMEOUT,
    target: str = "",
) -> http.client.HTTPResponse:
    """Forward the request with its body as it arrives; return the response with its body unread.

    `content` replaces the request's body, and `target` its path with the query; the headers
    `without` (in lower case) are left out, those in `extra` are added.
    """
    # A new connection per request: the server may have closed a kept one.
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    chunked = content is None and exchange.is_chunked
    dropped = HOP_BY_HOP | without | ({"content-length"} if content is not None else set())
    try:
        target = target or exchange.target
        connection.putrequest(exchange.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in exchange.headers.items():
            if name.lower() not in dropped:
                connection.putheader(name, value)
        for name, value in extra:
            connection.putheader(name, value)
        if content is not None:
            connection.putheader("Content-Length", str(len(content)))
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("X-Forwarded-Proto", "https")
        connection.putheader("Connection", "close")
        connection.endheaders()
        _send(connection, exchange.body() if content is None else [content], chunked)
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise


def relay_response(
    exchange: Exchange, response: http.client.HTTPResponse, extra: Headers = ()
) -> None:
    """Answer with the server's response, and the headers `extra`."""
    with reset_if_broken(exchange), response:
        headers = [(k, v) for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP]
        exchange.begin(response.status, [*headers, *extra])
        while piece := response.read1(CHUNK_BYTES):
            exchange.write(piece)
        exchange.end()


@contextlib.contextmanager
def reset_if_broken(exchange: Exchange) -> Iterator[None]:
    """Break the client's connection if the server ends in the middle of its response."""
    try:
        yield
    except (OSError, http.client.HTTPException):
        exchange.reset()


def _send(connection: http.client.HTTPConnection, body: Iterable[bytes], chunked: bool) -> None:
    for piece in body:
        if not piece:
            continue
        try:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        except OSError:
            # The server answered before it read the whole body; there is a response to read.
            return
    if chunked:
        connection.send(b"0\r\n\r\n")
