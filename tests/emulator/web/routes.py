"""The routes of a site and its slots: who may take which, and what they answer.

Documented: "Azure resource provider operations" (Microsoft.Web), REST API of App Service (2025-05-01).
Recorded (azure-mgmt-web 11.0.1): the paths and the statuses that it takes. Assumed: which changes start the
container anew (every one of settings and configuration does, tags and names of sticky settings do not).
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from tests.emulator.arm import GROUP, ResourceManager
from tests.emulator.arm_errors import not_found, unauthorized
from tests.emulator.bodies import UnknownError, only, read
from tests.emulator.exchange import Exchange
from tests.emulator.identities import Identity
from tests.emulator.web import bodies, changes, easy_auth, references, swap
from tests.emulator.web.errors import bad_request
from tests.emulator.web.slot import PRODUCTION, SITE_KIND, Slot
from tests.emulator.web.swap import Swap

if TYPE_CHECKING:
    from tests.emulator.web.apps import WebApps

RESULT = re.compile(r"/operationresults/(?P<id>[\w-]+)")
# Each route with its right, which follows `sites/` or `sites/slots/`.
ROUTES = {
    ("GET", ""): "read",
    ("PATCH", ""): "write",
    ("DELETE", ""): "delete",
    ("GET", "/slots"): "slots/read",
    ("GET", "/config/web"): "config/read",
    ("PATCH", "/config/web"): "config/write",
    ("PUT", "/config/web"): "config/write",
    ("PUT", "/config/appsettings"): "config/write",
    ("POST", "/config/appsettings/list"): "config/list/action",
    ("PUT", "/config/connectionstrings"): "config/write",
    ("POST", "/config/connectionstrings/list"): "config/list/action",
    ("GET", "/config/slotConfigNames"): "config/read",
    ("PUT", "/config/slotConfigNames"): "config/write",
    ("GET", "/config/authsettingsV2"): "config/read",
    ("GET", "/config/authsettingsV2/list"): "config/list/action",
    ("PUT", "/config/authsettingsV2"): "config/write",
    ("GET", "/config/configreferences/appsettings"): "config/read",
    ("POST", "/restart"): "restart/action",
    ("POST", "/start"): "start/action",
    ("POST", "/stop"): "stop/action",
    ("POST", "/containerlogs"): "containerlogs/action",
    ("POST", "/slotsswap"): "slotsswap/action",
}
# Those that are no GET and change nothing.
READING = ("/list", "/containerlogs")


class Request:
    """One request about a site or a slot that there is."""

    def __init__(
        self,
        web: WebApps,
        arm: ResourceManager,
        exchange: Exchange,
        who: Identity,
        slot: Slot,
        version: str,
    ) -> None:
        self._web = web
        self._arm = arm
        self._exchange = exchange
        self._who = who
        self._slot = slot
        self._version = version

    def serve(self, what: str) -> None:
        """Answer; `what` is the path below the slot. Raises `RefusedError`, `UnknownError`."""
        method, slot = self._exchange.method, self._slot
        if method == "GET" and (result := RESULT.fullmatch(what)):
            self._result(result["id"])
            return
        right = ROUTES.get((method, what))
        if right is None or (what in ("/slots", "/config/slotConfigNames") and not self._is_site):
            raise self._arm.unknown(self._exchange)
        may(self._who, f"{'' if self._is_site else 'slots/'}{right}", slot.site.name, slot.id)
        writes = method != "GET" and not what.endswith(READING)
        body = read(self._exchange) if method in ("PUT", "PATCH") or what == "/slotsswap" else {}
        with slot.site.lock:
            if writes:
                changes.check_idle(self._web, slot.site)
            self._answer(method, what, body)

    def _answer(self, method: str, what: str, body: dict[str, Any]) -> None:
        slot, answer = self._slot, self._exchange.answer
        if what == "":
            self._resource(method, body)
        elif what == "/slots":
            others = [one for one in slot.site.slots.values() if one is not slot]
            answer(200, {"value": [one.document(self._web.directory.tenant) for one in others]})
        elif what == "/config/web":
            if method != "GET":
                self._configure(body)
            answer(200, slot.config_document())
        elif what.startswith("/config/appsettings"):
            if method == "PUT":
                only(body, {"properties", "kind"}, "settings")
                slot.settings = bodies.settings(body.get("properties"))
                slot.worker.restart()
            self._config("appsettings", dict(slot.settings))
        elif what.startswith("/config/connectionstrings"):
            if method == "PUT":
                slot.connection_strings = body.get("properties") or {}
                slot.worker.restart()
            self._config("connectionstrings", dict(slot.connection_strings))
        elif what == "/config/slotConfigNames":
            if method == "PUT":
                only(body.get("properties") or {}, bodies.STICKY, "slotConfigNames")
                slot.site.sticky = body.get("properties") or {}
            names = {name: slot.site.sticky.get(name) for name in bodies.STICKY}
            self._config("slotConfigNames", names)
        elif what.startswith("/config/authsettingsV2"):
            if method == "PUT":
                self._authenticate(body)
            self._config("authsettingsV2", slot.auth)
        elif what == "/config/configreferences/appsettings":
            answer(200, {"value": self._references()})
        elif what == "/slotsswap":
            self._swap(body)
        elif what == "/containerlogs":
            text = slot.logs()
            answer(200 if text else 204, text.encode(), kind="application/octet-stream")
        else:
            self._switch(what)
            answer(200)

    @property
    def _is_site(self) -> bool:
        return self._slot.name == PRODUCTION

    def _config(self, name: str, properties: dict[str, Any]) -> None:
        slot = self._slot
        document = {
            "id": f"{slot.id}/config/{name}",
            "name": name,
            "type": f"{SITE_KIND}/config",
            "properties": properties,
        }
        self._exchange.answer(200, document)

    def _resource(self, method: str, body: dict[str, Any]) -> None:
        slot = self._slot
        if method == "DELETE":
            self._web.remove(slot)
            self._exchange.answer(200)
            return
        if method == "PATCH":
            only(body, bodies.CHANGE, "a change of a site")
            changes.change(self._web, slot, body, self._who)
        self._exchange.answer(200, slot.document(self._web.directory.tenant))

    def _configure(self, body: dict[str, Any]) -> None:
        only(body, {"properties", "kind"}, "a configuration")
        changes.configure(self._slot, body.get("properties") or {}, self._slot.site.plan)
        self._slot.worker.restart()

    def _authenticate(self, body: dict[str, Any]) -> None:
        only(body, {"properties", "kind"}, "settings for authentication")
        properties = body.get("properties") or {}
        only(properties, bodies.AUTH, "settings for authentication")
        action = (properties.get("globalValidation") or {}).get("unauthenticatedClientAction")
        if action is not None and action not in easy_auth.ACTIONS:
            raise UnknownError(f"unauthenticatedClientAction {action}")
        self._slot.auth = properties
        self._slot.worker.restart()

    def _references(self) -> list[dict[str, Any]]:
        slot = self._slot
        rows = []
        for name, text in slot.settings.items():
            if found := references.resolve(text, self._web.vaults, slot.vault_reader()):
                rows.append(found.document(name, slot.id))
        return rows

    def _switch(self, what: str) -> None:
        slot = self._slot
        if what == "/stop":
            slot.enabled = False
            slot.worker.stop()
        else:
            slot.enabled = slot.enabled or what == "/start"
            if slot.enabled:
                slot.worker.restart()

    def _swap(self, body: dict[str, Any]) -> None:
        slot = self._slot
        only(body, bodies.SWAP, "a swap")
        if not isinstance(body.get("preserveVnet"), bool):
            raise UnknownError("a swap without preserveVnet")
        target = slot.site.slots.get(str(body.get("targetSlot")).lower())
        if target is None or target is slot:
            raise bad_request(f"The slot '{body.get('targetSlot')}' cannot be swapped with.")
        slot.site.operation = swap.NAME
        self._accepted(self._web.begin(Swap(slot, target)))

    def _result(self, id: str) -> None:
        may(self._who, "operationresults/read", self._slot.site.name, self._slot.id)
        found = self._web.swaps.get(id)
        if found is None:
            raise not_found(f"{SITE_KIND}/operationresults", id, GROUP)
        found.looks += 1
        if not found.done.is_set() or found.looks <= self._web.pace.polls:
            self._accepted(found)
        elif found.error:
            raise found.error
        else:
            self._exchange.answer(200)

    def _accepted(self, found: Swap) -> None:
        id = str(uuid.uuid4())
        self._web.swaps[id] = found
        url = f"{self._arm.server.url}{self._slot.id}/operationresults/{id}?api-version={self._version}"
        self._exchange.answer(202, b"", [("Location", url)])


def may(who: Identity, right: str, scope: str, id: str) -> None:
    """Raise `RefusedError` where somebody may not do something with a site."""
    action = f"{SITE_KIND}/{right}"
    if not who.may(action, scope):
        raise unauthorized(who, action, id)
