"""HTTP/1.1 for one connection: uvicorn's protocol, with limits on what a client can send or hold.

uvicorn and httptools limit only bodies, by pausing a connection. The other limits are here: bytes
of heads, trailers and chunk framing; the number of header lines and pipelined requests; the time
for heads and for unread responses.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .deadlines import Deadline, ReadingRate

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from .open_connections import OpenConnections
    from .refusal_log import RefusalLog

# Seconds for a head after its first byte (for the first head, after the start of the connection),
# and for the rest of a body whose request is already answered.
HEAD_SECONDS = 30.0
# Consecutive bytes outside of bodies: a head, or chunk framing and trailers. App Service's sign-in
# adds its own headers to a token, 14 KB together.
MAX_HEAD_BYTES = 32 * 1024
# As many as Apache allows (LimitRequestFields). A line of 5 bytes takes 130 bytes when parsed.
MAX_HEADER_LINES = 100
# Requests that can wait behind the one that is being answered. A server may close the connection
# after any response; the client then repeats the other requests (RFC 9112, 9.3.2).
MAX_PIPELINED = 8
# Bytes that are read and parsed at once. asyncio's own value is 256 KiB.
READ_BYTES = 64 * 1024
# Headers that request an upgrade of the connection. A server may ignore them (RFC 9110, 7.8).
_UPGRADE_HEADERS = (b"upgrade", b"http2-settings")


class _RequestRejected(Exception):
    """A request that exceeds a limit or is not HTTP; `reason` is for the client and the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _StopParsing(Exception):
    """A signal to stop parsing: the connection accepts no further request."""


class _ReadControl(FlowControl):
    """Flow control that does not read a connection while it is `held` or has waiting requests."""

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__(protocol.transport)
        self._pipeline = protocol.pipeline
        self.held = False

    def resume_reading(self) -> None:
        """Resume reading, unless a further request could not be processed."""
        if not self.held and not self._pipeline:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """The protocol of one connection, which adds itself to `connections` and logs to `refusals`."""

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
        self._deadline = Deadline(self.loop, HEAD_SECONDS, self._end_late_request)
        # Bytes outside of bodies since the last byte of a body.
        self._row = 0
        # Bytes outside of the body since the message began, minus the bytes of its body.
        self._framing = 0
        self._in_head = False
        self._in_body = False
        self._upgrade = False
        # Whether the connection accepts no further request.
        self._last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection, and start to wait for the first head."""
        super().connection_made(transport)
        self.flow: _ReadControl = _ReadControl(self)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        self._reading = ReadingRate(self.loop, transport, self._abort_slow_reader)
        # Bytes that the kernel does not accept belong to a response that the client does not read.
        transport.set_write_buffer_limits(high=0)
        if self._open.add(self):
            self._deadline.start()
        else:
            self._refuse(503, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the resources of the connection."""
        self._open.remove(self)
        self._deadline.stop()
        self._reading.stop()
        super().connection_lost(exc)
        # After a reset, uvicorn keeps the timer, and with it the connection.
        self._unset_keepalive_if_required()
        self.pipeline.clear()

    def evict(self) -> None:
        """Close the connection immediately, to make room for another."""
        self._refusals.add("a waiting connection made room for a new one")
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse `data`, and reject the request if it exceeds a limit."""
        if self._last and not self._in_body:
            return
        self._unset_keepalive_if_required()
        self._row += len(data)
        self._framing += len(data)
        try:
            self._feed(data)
            if self._row > MAX_HEAD_BYTES or self._framing > MAX_HEAD_BYTES:
                self._raise_too_long()
        except _StopParsing:
            self._stop_reading()
        except _RequestRejected as rejection:
            self._refuse(rejection.status, rejection.reason)
        else:
            self._start_deadline()

    def _start_deadline(self) -> None:
        """Limit the time for an unfinished request, unless the client itself has to wait."""
        answered = self.cycle is not None and self.cycle.response_complete
        unfinished = answered if self._in_body else self._in_head or self._row
        if unfinished and not self.pipeline:
            self._deadline.start()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _raise_too_long(self) -> None:
        if self._in_body:
            raise _RequestRejected(400, "more chunk framing or trailers than allowed")
        raise _RequestRejected(431, f"a request head of more than {MAX_HEAD_BYTES} bytes")

    def _feed(self, data: bytes) -> None:
        """Parse `data`. Raise `_RequestRejected` or `_StopParsing`."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            # The parser has wrapped an exception of a callback.
            if isinstance(error.__context__, (_RequestRejected, _StopParsing)):
                raise error.__context__ from None
            raise _RequestRejected(400, "an invalid request target") from None
        except httptools.HttpParserError:
            raise _RequestRejected(400, "data that is not HTTP") from None

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse the head again without its upgrade headers, and then `rest`, which is its body.

        The parser treats all bytes after an upgrade as another protocol. Java's HttpClient requests
        h2c with its first request, which may have a body, and continues in HTTP/1.1 without it.
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
        """Start a head."""
        if self._last:
            raise _StopParsing
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, but ignore trailers, which could be mistaken for headers."""
        if self._in_body:
            return
        if len(self.headers) >= MAX_HEADER_LINES:
            raise _RequestRejected(431, f"more than {MAX_HEADER_LINES} header lines")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve the request, or queue it behind the one that is being answered."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _RequestRejected(400, "the method CONNECT")
            self._upgrade = True
            return
        # The bytes of a body may have arrived together with the head.
        if self._row > MAX_HEAD_BYTES and self._head_size() > MAX_HEAD_BYTES:
            self._raise_too_long()
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        self._deadline.stop()
        if len(self.pipeline) >= MAX_PIPELINED:
            self._last = True
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        self._row = 0
        self._framing -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        if self._upgrade:
            return
        self._in_body = False
        self._row = self._framing = 0
        self._deadline.stop()
        super().on_message_complete()
        if not self.cycle.response_complete:
            self._open.mark_working(self)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this request."""
        super().on_response_complete()
        if self.pipeline or self.transport.is_closing():
            return
        self._open.mark_waiting(self)
        self._start_deadline()

    def pause_writing(self) -> None:
        """Start to measure how fast the client reads the response."""
        super().pause_writing()
        self._reading.start()
        self._open.mark_waiting(self)

    def resume_writing(self) -> None:
        """Stop measuring: the client has read all that was sent."""
        super().resume_writing()
        self._reading.stop()
        if self.cycle is not None and not self.cycle.response_complete:
            self._open.mark_working(self)

    def _abort_slow_reader(self) -> None:
        self._refusals.add("a response that is not read")
        self.transport.abort()

    def _end_late_request(self) -> None:
        if self._in_head or self._row:
            self._refusals.add(f"a request that was not complete within {HEAD_SECONDS:.0f} s")
        self._close_connection(b"")

    def _refuse(self, status: int, reason: str) -> None:
        self._refusals.add(reason)
        text = f"refused: {reason}".encode()
        self._close_connection(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\n"
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(text)
            + text
        )

    def _close_connection(self, answer: bytes) -> None:
        """Close the connection; send `answer` first if the client can assign it to a request."""
        self._last = True
        cycle = self.cycle
        in_work = cycle is not None and not cycle.response_complete
        if in_work and not self._in_body and not self.pipeline:
            # The current request is complete, and its response is the last one.
            cycle.keep_alive = False
            self._stop_reading()
            return
        # Not if a part of a response is already sent, and not for the rest of a request that is
        # already answered.
        answerable = not cycle.response_started if in_work else not self._in_body
        if answer and answerable and not self.pipeline:
            self.transport.write(answer)
            self.transport.close()
        else:
            self.transport.abort()

    def _stop_reading(self) -> None:
        self.flow.held = True
        self.flow.pause_reading()
