"""The routes of a site and its slots: permissions and responses.

Documented: "Azure resource provider operations" (Microsoft.Web), REST API of App Service
(2025-05-01). Recorded (azure-mgmt-web 11.0.1): paths and status codes. Assumed: which changes
restart the container (all of settings and configuration do; tags and names of sticky settings do
not).
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from deploy.sandbox.appservice import (
    easy_auth,
    key_vault_references,
    request_bodies,
    site_updates,
    slot_swap,
)
from deploy.sandbox.appservice.errors import bad_request
from deploy.sandbox.appservice.slot import PRODUCTION, SITE_TYPE, Slot
from deploy.sandbox.appservice.slot_swap import Swap
from deploy.sandbox.arm import GROUP, ResourceManager
from deploy.sandbox.arm_errors import authorization_error, not_found_error
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import Identity
from deploy.sandbox.request_bodies import InvalidBodyError, read_json_object, reject_unknown_fields

if TYPE_CHECKING:
    from deploy.sandbox.appservice.web_apps import WebApps

RESULT = re.compile(r"/operationresults/(?P<id>[\w-]+)")
# The permission for each route, to be appended to `sites/` or `sites/slots/`.
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
# Suffixes of routes other than GET that change nothing.
READ_ONLY_ROUTES = ("/list", "/containerlogs")


class Request:
    """A request about an existing site or slot."""

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

    def serve(self, subpath: str) -> None:
        """Answer the request; `subpath` is the path below the slot.

        Raise `ArmError` or `InvalidBodyError`.
        """
        method, slot = self._exchange.method, self._slot
        if method == "GET" and (result := RESULT.fullmatch(subpath)):
            self._result(result["id"])
            return
        permission = ROUTES.get((method, subpath))
        if permission is None or (
            subpath in ("/slots", "/config/slotConfigNames") and not self._is_site
        ):
            raise self._arm.record_unknown_request(self._exchange)
        require_permission(
            self._who, f"{'' if self._is_site else 'slots/'}{permission}", slot.site.name, slot.id
        )
        writes = method != "GET" and not subpath.endswith(READ_ONLY_ROUTES)
        body = (
            read_json_object(self._exchange)
            if method in ("PUT", "PATCH") or subpath == "/slotsswap"
            else {}
        )
        with slot.site.lock:
            if writes:
                site_updates.check_idle(self._web, slot.site)
            self._answer(method, subpath, body)

    def _answer(self, method: str, subpath: str, body: dict[str, Any]) -> None:
        slot, answer = self._slot, self._exchange.answer
        if subpath == "":
            self._resource(method, body)
        elif subpath == "/slots":
            others = [sibling for sibling in slot.site.slots.values() if sibling is not slot]
            answer(
                200, {"value": [sibling.document(self._web.directory.tenant) for sibling in others]}
            )
        elif subpath == "/config/web":
            if method != "GET":
                self._configure(body)
            answer(200, slot.config_document())
        elif subpath.startswith("/config/appsettings"):
            if method == "PUT":
                reject_unknown_fields(body, {"properties", "kind"}, "settings")
                slot.settings = request_bodies.parse_settings(body.get("properties"))
                slot.worker.restart()
            self._config("appsettings", dict(slot.settings))
        elif subpath.startswith("/config/connectionstrings"):
            if method == "PUT":
                slot.connection_strings = body.get("properties") or {}
                slot.worker.restart()
            self._config("connectionstrings", dict(slot.connection_strings))
        elif subpath == "/config/slotConfigNames":
            if method == "PUT":
                reject_unknown_fields(
                    body.get("properties") or {}, request_bodies.STICKY, "slotConfigNames"
                )
                slot.site.sticky = body.get("properties") or {}
            names = {name: slot.site.sticky.get(name) for name in request_bodies.STICKY}
            self._config("slotConfigNames", names)
        elif subpath.startswith("/config/authsettingsV2"):
            if method == "PUT":
                self._authenticate(body)
            self._config("authsettingsV2", slot.auth)
        elif subpath == "/config/configreferences/appsettings":
            answer(200, {"value": self._references()})
        elif subpath == "/slotsswap":
            self._swap(body)
        elif subpath == "/containerlogs":
            text = slot.logs()
            answer(200 if text else 204, text.encode(), kind="application/octet-stream")
        else:
            self._change_state(subpath)
            answer(200)

    @property
    def _is_site(self) -> bool:
        return self._slot.name == PRODUCTION

    def _config(self, name: str, properties: dict[str, Any]) -> None:
        slot = self._slot
        document = {
            "id": f"{slot.id}/config/{name}",
            "name": name,
            "type": f"{SITE_TYPE}/config",
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
            reject_unknown_fields(body, request_bodies.CHANGE, "a change of a site")
            site_updates.update_slot(self._web, slot, body, self._who)
        self._exchange.answer(200, slot.document(self._web.directory.tenant))

    def _configure(self, body: dict[str, Any]) -> None:
        reject_unknown_fields(body, {"properties", "kind"}, "a configuration")
        site_updates.update_config(self._slot, body.get("properties") or {}, self._slot.site.plan)
        self._slot.worker.restart()

    def _authenticate(self, body: dict[str, Any]) -> None:
        reject_unknown_fields(body, {"properties", "kind"}, "settings for authentication")
        properties = body.get("properties") or {}
        reject_unknown_fields(properties, request_bodies.AUTH, "settings for authentication")
        action = (properties.get("globalValidation") or {}).get("unauthenticatedClientAction")
        if action is not None and action not in easy_auth.ACTIONS:
            raise InvalidBodyError(f"unauthenticatedClientAction {action}")
        self._slot.auth = properties
        self._slot.worker.restart()

    def _references(self) -> list[dict[str, Any]]:
        slot = self._slot
        rows = []
        for name, text in slot.settings.items():
            if reference := key_vault_references.resolve_reference(
                text, self._web.vaults, slot.vault_reader()
            ):
                rows.append(reference.document(name, slot.id))
        return rows

    def _change_state(self, subpath: str) -> None:
        slot = self._slot
        if subpath == "/stop":
            slot.enabled = False
            slot.worker.stop()
        else:
            slot.enabled = slot.enabled or subpath == "/start"
            if slot.enabled:
                slot.worker.restart()

    def _swap(self, body: dict[str, Any]) -> None:
        slot = self._slot
        reject_unknown_fields(body, request_bodies.SWAP, "a swap")
        if not isinstance(body.get("preserveVnet"), bool):
            raise InvalidBodyError("a swap without preserveVnet")
        target = slot.site.slots.get(str(body.get("targetSlot")).lower())
        if target is None or target is slot:
            raise bad_request(f"The slot '{body.get('targetSlot')}' cannot be swapped with.")
        slot.site.operation = slot_swap.OPERATION_NAME
        self._answer_accepted(self._web.begin(Swap(slot, target)))

    def _result(self, id: str) -> None:
        require_permission(self._who, "operationresults/read", self._slot.site.name, self._slot.id)
        swap = self._web.swaps.get(id)
        if swap is None:
            raise not_found_error(f"{SITE_TYPE}/operationresults", id, GROUP)
        swap.poll_count += 1
        if not swap.done.is_set() or swap.poll_count <= self._web.pace.pending_polls:
            self._answer_accepted(swap)
        elif swap.error:
            raise swap.error
        else:
            self._exchange.answer(200)

    def _answer_accepted(self, swap: Swap) -> None:
        id = str(uuid.uuid4())
        self._web.swaps[id] = swap
        url = (
            f"{self._arm.server.url}{self._slot.id}/operationresults/{id}"
            f"?api-version={self._version}"
        )
        self._exchange.answer(202, b"", [("Location", url)])


def require_permission(who: Identity, permission: str, scope: str, id: str) -> None:
    """Raise `ArmError` if an identity lacks a permission on a site."""
    action = f"{SITE_TYPE}/{permission}"
    if not who.has_permission(action, scope):
        raise authorization_error(who, action, id)
