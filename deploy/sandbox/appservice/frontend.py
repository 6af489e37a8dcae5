"""The frontend of one slot: an own host, whose requests are forwarded to the slot's container.

Documented: "Troubleshoot HTTP errors of 502 and 503", "Azure App Service FAQ" (230 seconds for a
response). Recorded: 503 "Application Error" after a failed start, 504 while no start has ended; 403
of a stopped site. Assumed: requests wait for a start in progress if nothing else can answer; access
restrictions are stored but not enforced.
"""

from __future__ import annotations

import http.client

from deploy.sandbox import proxy
from deploy.sandbox.appservice import easy_auth
from deploy.sandbox.appservice.easy_auth import AuthDenied
from deploy.sandbox.appservice.instance import Instance
from deploy.sandbox.appservice.slot import Slot
from deploy.sandbox.container_platform import ContainerPlatform
from deploy.sandbox.http_exchange import Exchange

ANSWER_SECONDS = 230
HTML = "text/html"
STOPPED_PAGE = b"<h1>Error 403 - This web app is stopped.</h1>"
ERROR_PAGE = b"<h1>:( Application Error</h1>"
TIMEOUT_PAGE = b"<h1>504.0 GatewayTimeout</h1>"


class SlotFrontend:
    """Serves one slot. `server` has its recorded requests and faults."""

    def __init__(self, slot: Slot, platform: ContainerPlatform) -> None:
        self._slot = slot
        self._directory = platform.directory
        self._pace = platform.pace
        self.server = platform.add_host(self._serve)

    def _serve(self, exchange: Exchange) -> None:
        slot = self._slot
        if not slot.enabled:
            exchange.answer(403, STOPPED_PAGE, kind=HTML)
            return
        principal = easy_auth.authenticate(slot.auth, exchange, self._directory, self.server.name)
        if isinstance(principal, AuthDenied):
            exchange.answer(principal.status, easy_auth.FORBIDDEN, principal.headers)
            return
        with slot.worker.use(self._pace.scale_seconds(ANSWER_SECONDS)) as instance:
            if instance:
                self._forward(exchange, instance, principal)
            elif slot.worker.is_starting:
                exchange.answer(504, TIMEOUT_PAGE, kind=HTML)
            else:
                exchange.answer(503, ERROR_PAGE, kind=HTML)

    def _forward(
        self, exchange: Exchange, instance: Instance, principal: list[tuple[str, str]]
    ) -> None:
        seconds = self._pace.scale_seconds(ANSWER_SECONDS)
        try:
            response = proxy.forward_request(
                instance.port,
                exchange,
                without=easy_auth.PRINCIPAL_HEADER_NAMES,
                extra=principal,
                timeout=seconds,
            )
        except TimeoutError:
            exchange.answer(504, TIMEOUT_PAGE, kind=HTML)
            return
        except (OSError, http.client.HTTPException):
            self._slot.worker.restart_if_exited(instance)
            exchange.answer(502, b"502 - Web server received an invalid response", kind=HTML)
            return
        proxy.relay_response(exchange, response)
