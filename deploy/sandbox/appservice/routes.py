"""The routes of a site and its slots: permissions and responses.

Documented: "Azure resource provider operations" (Microsoft.Web), REST API of App Service
(2025-05-01). Recorded (azure-mgmt-web 11.0.1): paths and status codes. Assumed: which changes
restart the container (all of settings and configuration do; tags and names of sticky settings do
not).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.sandbox.appservice import (
    easy_auth,
    key_vault_references,
    request_bodies,
    site_updates,
    slot_swap,
)
from deploy.sandbox.appservice.errors import bad_request
from deploy.sandbox.appservice.request_bodies import FIELDS
from deploy.sandbox.appservice.slot import PRODUCTION, SITE_TYPE, Slot
from deploy.sandbox.appservice.slot_swap import Swap
from deploy.sandbox.arm import GROUP
from deploy.sandbox.arm_errors import not_found_error, require_permission
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


@dataclass(frozen=True)
class Request:
    """A request about an existing site or slot."""

    web: WebApps
    exchange: Exchange
    who: Identity
    slot: Slot
    version: str

    def serve(self, subpath: str) -> None:
        """Answer the request; `subpath` is the path below the slot.

        Raise `ArmError` or `InvalidBodyError`.
        """
        method, slot = self.exchange.method, self.slot
        if method == "GET" and (result := RESULT.fullmatch(subpath)):
            self._result(result["id"])
            return
        permission = ROUTES.get((method, subpath))
        if permission is None or (
            subpath in ("/slots", "/config/slotConfigNames") and not self._is_site
        ):
            raise self.web.arm.record_unknown_request(self.exchange)
        self._require_permission(permission if self._is_site else f"slots/{permission}")
        writes = method != "GET" and not subpath.endswith(READ_ONLY_ROUTES)
        body = (
            read_json_object(self.exchange)
            if method in ("PUT", "PATCH") or subpath == "/slotsswap"
            else {}
        )
        with slot.site.lock:
            if writes:
                site_updates.check_idle(self.web, slot.site)
            self._answer(method, subpath, body)

    def _answer(self, method: str, subpath: str, body: dict[str, Any]) -> None:
        slot, answer = self.slot, self.exchange.answer
        if subpath == "":
            self._resource(method, body)
        elif subpath == "/slots":
            others = [sibling for sibling in slot.site.slots.values() if sibling is not slot]
            answer(
                200, {"value": [sibling.document(self.web.directory.tenant) for sibling in others]}
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
                    body.get("properties") or {}, FIELDS["sticky_names"], "slotConfigNames"
                )
                slot.site.sticky = body.get("properties") or {}
            names = {name: slot.site.sticky.get(name) for name in FIELDS["sticky_names"]}
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

    def _require_permission(self, permission: str) -> None:
        slot = self.slot
        require_permission(self.who, f"{SITE_TYPE}/{permission}", slot.site.name, slot.id)

    @property
    def _is_site(self) -> bool:
        return self.slot.name == PRODUCTION

    def _config(self, name: str, properties: dict[str, Any]) -> None:
        slot = self.slot
        document = {
            "id": f"{slot.id}/config/{name}",
            "name": name,
            "type": f"{SITE_TYPE}/config",
            "properties": properties,
        }
        self.exchange.answer(200, document)

    def _resource(self, method: str, body: dict[str, Any]) -> None:
        slot = self.slot
        if method == "DELETE":
            self.web.remove(slot)
            self.exchange.answer(200)
            return
        if method == "PATCH":
            reject_unknown_fields(body, FIELDS["site"] - {"location"}, "a change of a site")
            site_updates.update_slot(self.web, slot, body, self.who)
        self.exchange.answer(200, slot.document(self.web.directory.tenant))

    def _configure(self, body: dict[str, Any]) -> None:
        reject_unknown_fields(body, {"properties", "kind"}, "a configuration")
        site_updates.update_config(self.slot, body.get("properties") or {}, self.slot.site.plan)
        self.slot.worker.restart()

    def _authenticate(self, body: dict[str, Any]) -> None:
        reject_unknown_fields(body, {"properties", "kind"}, "settings for authentication")
        properties = body.get("properties") or {}
        reject_unknown_fields(properties, FIELDS["authentication"], "settings for authentication")
        action = (properties.get("globalValidation") or {}).get("unauthenticatedClientAction")
        if action is not None and action not in easy_auth.ACTIONS:
            raise InvalidBodyError(f"unauthenticatedClientAction {action}")
        self.slot.auth = properties
        self.slot.worker.restart()

    def _references(self) -> list[dict[str, Any]]:
        slot = self.slot
        rows = []
        for name, text in slot.settings.items():
            if reference := key_vault_references.resolve_reference(
                text, self.web.vaults, slot.vault_reader()
            ):
                rows.append(reference.document(name, slot.id))
        return rows

    def _change_state(self, subpath: str) -> None:
        slot = self.slot
        if subpath == "/stop":
            slot.enabled = False
            slot.worker.stop()
        else:
            slot.enabled = slot.enabled or subpath == "/start"
            if slot.enabled:
                slot.worker.restart()

    def _swap(self, body: dict[str, Any]) -> None:
        slot = self.slot
        reject_unknown_fields(body, FIELDS["swap"], "a swap")
        if not isinstance(body.get("preserveVnet"), bool):
            raise InvalidBodyError("a swap without preserveVnet")
        target = slot.site.slots.get(str(body.get("targetSlot")).lower())
        if target is None or target is slot:
            raise bad_request(f"The slot '{body.get('targetSlot')}' cannot be swapped with.")
        slot.site.operation = slot_swap.OPERATION_NAME
        self._answer_accepted(self.web.begin(Swap(source=slot, target=target)))

    def _result(self, id: str) -> None:
        self._require_permission("operationresults/read")
        swap = self.web.swaps.get(id)
        if swap is None:
            raise not_found_error(f"{SITE_TYPE}/operationresults", id, GROUP)
        swap.poll_count += 1
        if not swap.done.is_set() or swap.poll_count <= self.web.pace.pending_polls:
            self._answer_accepted(swap)
        elif swap.error:
            raise swap.error
        else:
            self.exchange.answer(200)

    def _answer_accepted(self, swap: Swap) -> None:
        id = str(uuid.uuid4())
        self.web.swaps[id] = swap
        url = (
            f"{self.web.arm.server.url}{self.slot.id}/operationresults/{id}"
            f"?api-version={self.version}"
        )
        self.exchange.answer(202, b"", [("Location", url)])
