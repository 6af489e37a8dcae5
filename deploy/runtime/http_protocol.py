"""HTTP/1.1 for one connection: uvicorn's protocol, with limits on what a client can hold or demand.

uvicorn and httptools limit bodies alone, by pausing a connection. All else that a client sends or
does not do is limited here: heads, trailers and chunk framing in bytes, header lines and pipelined
requests in number, heads and unread answers in time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .deadline import Deadline
from .reading_rate import ReadingRate

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from .open_connections import OpenConnections
    from .refusal_log import RefusalLog

# Seconds for a head from its first byte on (from the connection's begin for the first head), and
# for the rest of a body whose request is answered already.
HEAD_SECONDS = 30.0
# Bytes outside of bodies in a row: a head, or chunk framing and trailers. App Service's sign-in
# adds headers of its own to a token, 14 KB together.
HEAD_BYTES = 32 * 1024
# As many as Apache allows (LimitRequestFields): a line of 5 bytes takes 130 once it is parsed.
HEADER_LINES = 100
# Requests that may wait behind the one in work. A server may close the connection after any answer;
# the client repeats the rest (RFC 9112, 9.3.2).
PIPELINED = 8
# Bytes that are read and parsed at once; asyncio reads 256 KiB.
READ_BYTES = 64 * 1024
# Headers about the connection itself. A server may ignore them (RFC 9110, 7.8).
_UPGRADE_HEADERS = (b"upgrade", b"http2-settings")


class _Refused(Exception):
    """Stop parsing; `status` and `reason` are for the client and the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Enough(Exception):
    """Stop parsing: no further request is taken from the connection."""


class _Flow(FlowControl):
    """Flow control that keeps a connection unread while `held` or while requests wait in it."""

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__(protocol.transport)
        self._pipeline = protocol.pipeline
        self.held = False

    def resume_reading(self) -> None:
        """Read again, unless what would be read could not be worked on."""
        if not self.held and not self._pipeline:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """One connection of `connections`; refusals are counted in `refusals`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        connections: OpenConnections,
        refusals: RefusalLog,
    ) -> None:
        super().__init__(config, server_state, app_state={})
        self._open = connections
        self._refusals = refusals
        self._deadline = Deadline(self.loop, HEAD_SECONDS, self._head_late)
        # Bytes outside of bodies since the last byte of a body, and since the message began, less
        # as many as its body has.
        self._row = 0
        self._framing = 0
        self._in_head = False
        self._in_body = False
        self._upgrade = False
        # No further request is taken from this connection.
        self._last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self.flow: _Flow = _Flow(self)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        self._reading = ReadingRate(self.loop, transport, self._not_read)
        # All that the kernel does not take is an answer that is not read.
        transport.set_write_buffer_limits(high=0)
        if self._open.add(self):
            self._deadline.start()
        else:
            self._refuse(503, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of all that belongs to the connection."""
        self._open.remove(self)
        self._deadline.stop()
        self._reading.stop()
        super().connection_lost(exc)
        # uvicorn leaves the timer, and with it the connection, after a reset.
        self._unset_keepalive_if_required()
        self.pipeline.clear()

    def evict(self) -> None:
        """Close the connection at once, to make room for another."""
        self._refusals.add("a waiting connection made room for a new one")
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse `data`, and refuse what exceeds a limit."""
        if self._last and not self._in_body:
            return
        self._unset_keepalive_if_required()
        self._row += len(data)
        self._framing += len(data)
        try:
            self._feed(data)
            if self._row > HEAD_BYTES or self._framing > HEAD_BYTES:
                self._raise_too_long()
        except _Enough:
            self._hold()
        except _Refused as refused:
            self._refuse(refused.status, refused.reason)
        else:
            self._expect_rest()

    def _expect_rest(self) -> None:
        """Give the client time for what it has begun to send, unless it is kept waiting itself."""
        answered = self.cycle is not None and self.cycle.response_complete
        unfinished = answered if self._in_body else self._in_head or self._row
        if unfinished and not self.pipeline:
            self._deadline.start()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _raise_too_long(self) -> None:
        if self._in_body:
            raise _Refused(400, "more chunk framing or trailers than allowed")
        raise _Refused(431, f"a request head of more than {HEAD_BYTES} bytes")

    def _feed(self, data: bytes) -> None:
        """Parse `data`. Raises `_Refused` or `_Enough`."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            # The parser has wrapped what a callback raised.
            if isinstance(error.__context__, (_Refused, _Enough)):
                raise error.__context__ from None
            raise _Refused(400, "a request target that is not valid") from None
        except httptools.HttpParserError:
            raise _Refused(400, "what is not HTTP") from None

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse the head again without its upgrade, and then `rest`, which is its body.

        The parser takes all that follows an upgrade for another protocol. Java's HttpClient asks
        for h2c with its first request, with a body, and goes on in HTTP/1.1 without it.
        """
        self._upgrade = False
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name not in _UPGRADE_HEADERS:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(b"".join(head) + b"\r\n" + rest)

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._last:
            raise _Enough
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; leave out trailers, which could pass for headers."""
        if self._in_body:
            return
        if len(self.headers) >= HEADER_LINES:
            raise _Refused(431, f"more than {HEADER_LINES} header lines")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve the request, or queue it behind the one in work."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Refused(400, "the method CONNECT")
            self._upgrade = True
            return
        # Bytes of a body may have come with those of the head.
        if self._row > HEAD_BYTES and self._head_size() > HEAD_BYTES:
            self._raise_too_long()
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        self._deadline.stop()
        if len(self.pipeline) >= PIPELINED:
            self._last = True
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._row = 0
        self._framing -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        if self._upgrade:
            return
        self._in_body = False
        self._row = self._framing = 0
        self._deadline.stop()
        super().on_message_complete()
        if not self.cycle.response_complete:
            self._open.work(self)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this one."""
        super().on_response_complete()
        if self.pipeline or self.transport.is_closing():
            return
        self._open.wait(self)
        self._expect_rest()

    def pause_writing(self) -> None:
        """Give the client time to read what it was sent."""
        super().pause_writing()
        self._reading.start()
        self._open.wait(self)

    def resume_writing(self) -> None:
        """Note that the client has read."""
        super().resume_writing()
        self._reading.stop()
        if self.cycle is not None and not self.cycle.response_complete:
            self._open.work(self)

    def _not_read(self) -> None:
        self._refusals.add("an answer that is not read")
        self.transport.abort()

    def _head_late(self) -> None:
        if self._in_head or self._row:
            self._refusals.add(f"a request that was not complete within {HEAD_SECONDS:.0f} s")
        self._end(b"")

    def _refuse(self, status: int, reason: str) -> None:
        self._refusals.add(reason)
        text = f"refused: {reason}".encode()
        self._end(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\n"
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(text)
            + text
        )

    def _end(self, answer: bytes) -> None:
        """Close the connection, with `answer` where the client can tell which request it is for."""
        self._last = True
        cycle = self.cycle
        in_work = cycle is not None and not cycle.response_complete
        if in_work and not self._in_body and not self.pipeline:
            # The request before is complete, and its answer is the last.
            cycle.keep_alive = False
            self._hold()
            return
        # Not where a part of an answer is sent, nor for the rest of a request that has its answer.
        answerable = not cycle.response_started if in_work else not self._in_body
        if answer and answerable and not self.pipeline:
            self.transport.write(answer)
            self.transport.close()
        else:
            self.transport.abort()

    def _hold(self) -> None:
        self.flow.held = True
        self.flow.pause_reading()
