"""A response that is sent only as fast as its client reads it."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE_BYTES = 64 * 1024


class PiecewiseResponse(Response):
    """A response that is sent in pieces, each after the client has read the previous ones.

    If it were sent at once, its memory would not be counted while the client does not read it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        if len(self.body) <= PIECE_BYTES:
            await super().__call__(scope, receive, send)
            return
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        for begin in range(0, len(self.body), PIECE_BYTES):
            end = begin + PIECE_BYTES
            piece, more = self.body[begin:end], end < len(self.body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
