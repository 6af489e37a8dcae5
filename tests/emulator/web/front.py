"""The front end of one slot: its own host, whose requests go to the container that the slot runs.

Documented: "Troubleshoot HTTP errors of 502 and 503", "Azure App Service FAQ" (230 seconds for an answer).
Recorded: 503 "Application Error" where a start has failed, 504 where none has ended; 403 of a site that is
stopped. Assumed: requests wait for a start that is under way where nothing else answers; access
restrictions are kept, but everybody who reaches this machine is allowed.
"""

from __future__ import annotations

import http.client

from tests.emulator import proxy
from tests.emulator.certificates import Authority
from tests.emulator.exchange import Exchange
from tests.emulator.identities import Directory
from tests.emulator.pace import Pace
from tests.emulator.server import Server
from tests.emulator.web import easy_auth
from tests.emulator.web.easy_auth import Refusal
from tests.emulator.web.instance import Instance
from tests.emulator.web.slot import Slot

ANSWER_SECONDS = 230
HTML = "text/html"
STOPPED = b"<h1>Error 403 - This web app is stopped.</h1>"
FAILED = b"<h1>:( Application Error</h1>"
LATE = b"<h1>504.0 GatewayTimeout</h1>"


class Front:
    """Serves one slot. `server` is its record and its faults."""

    def __init__(self, slot: Slot, authority: Authority, directory: Directory, pace: Pace) -> None:
        self._slot = slot
        self._directory = directory
        self._pace = pace
        self.server = Server(authority, self._serve)

    def _serve(self, exchange: Exchange) -> None:
        slot = self._slot
        if not slot.enabled:
            exchange.answer(403, STOPPED, kind=HTML)
            return
        judged = easy_auth.judge(slot.auth, exchange, self._directory, self.server.name)
        if isinstance(judged, Refusal):
            exchange.answer(judged.status, easy_auth.FORBIDDEN, judged.headers)
            return
        with slot.worker.use(self._pace.seconds(ANSWER_SECONDS)) as instance:
            if instance:
                self._forward(exchange, instance, judged)
            elif slot.worker.is_starting:
                exchange.answer(504, LATE, kind=HTML)
            else:
                exchange.answer(503, FAILED, kind=HTML)

    def _forward(
        self, exchange: Exchange, instance: Instance, principal: list[tuple[str, str]]
    ) -> None:
        seconds = self._pace.seconds(ANSWER_SECONDS)
        try:
            response = proxy.ask(
                instance.port,
                exchange,
                without=easy_auth.OWN_HEADERS,
                extra=principal,
                timeout=seconds,
            )
        except TimeoutError:
            exchange.answer(504, LATE, kind=HTML)
            return
        except (OSError, http.client.HTTPException):
            self._slot.worker.look_after(instance)
            exchange.answer(502, b"502 - Web server received an invalid response", kind=HTML)
            return
        try:
            proxy.relay(exchange, response)
        except (OSError, http.client.HTTPException):
            # The container is gone in the middle of its answer.
            exchange.reset()
