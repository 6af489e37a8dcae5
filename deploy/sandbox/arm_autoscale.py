"""Autoscale settings of Azure Monitor: stored and returned, without any scaling.

Documented: REST API of Azure Monitor ("Autoscale Settings", 2022-10-01), "Autoscale online
endpoints" (the target is a deployment).
"""

from __future__ import annotations

import json
import re
from typing import Any

from deploy.sandbox.arm import GROUP, LOCATION, ResourceManager
from deploy.sandbox.arm_errors import ArmError, authorization_error, not_found_error
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import GROUP_SCOPE, Identity

RESOURCE_TYPE = "Microsoft.Insights/autoscaleSettings"
VERSIONS = ("2022-10-01",)
PATH = re.compile(
    rf"/resourceGroups/{GROUP}/providers/{re.escape(RESOURCE_TYPE)}(?:/(?P<name>[^/]+))?",
    re.IGNORECASE,
)
VERBS = {"GET": "Read", "PUT": "Write", "DELETE": "Delete"}
FIELDS = {"location", "tags", "properties"}
PROPERTIES = {"enabled", "name", "notifications", "predictiveAutoscalePolicy", "profiles"}
PROPERTIES |= {"targetResourceLocation", "targetResourceUri"}
MOST_PROFILES = 20


class AutoscaleSettings:
    """The provider of autoscale settings, which `settings` has by name."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        self.settings: dict[str, dict[str, Any]] = {}

    def can_serve(self, path: str) -> bool:
        """Return whether `path` belongs to this provider."""
        return bool(PATH.fullmatch(path))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer the request of the identity `who`. Raise `ArmError`."""
        self._arm.version(exchange, *VERSIONS)
        match = PATH.fullmatch(path)
        name, method = match["name"] if match else None, exchange.method
        if method not in VERBS or (name is None and method != "GET"):
            raise self._arm.record_unknown_request(exchange)
        action = f"{RESOURCE_TYPE}/{VERBS[method]}"
        # Azure ignores the case of actions, but the emulator's roles use lower case.
        if not who.has_permission(action.replace("/Read", "/read"), GROUP_SCOPE):
            raise authorization_error(who, action, f"/resourceGroups/{GROUP}")
        if name is None:
            exchange.answer(200, {"value": list(self.settings.values())})
        elif method == "PUT":
            status = 200 if name in self.settings else 201
            self.settings[name] = self._build_setting(name, exchange)
            exchange.answer(status, self.settings[name])
        elif method == "DELETE":
            exchange.answer(200 if self.settings.pop(name, None) else 204)
        elif name in self.settings:
            exchange.answer(200, self.settings[name])
        else:
            raise not_found_error(RESOURCE_TYPE, name, GROUP)

    def _build_setting(self, name: str, exchange: Exchange) -> dict[str, Any]:
        body = json.loads(exchange.content())
        properties = body.get("properties") or {}
        unknown = (set(body) - FIELDS) | (set(properties) - PROPERTIES)
        missing = {"profiles", "targetResourceUri"} - set(properties)
        if unknown or missing or body.get("location") != LOCATION:
            text = f"autoscale settings: unknown {sorted(unknown)}, missing {sorted(missing)}"
            self._arm.server.unexpected.append(f"ARM: {text}")
            raise ArmError(400, "BadRequest", text)
        for profile in properties["profiles"]:
            capacity = {key: int(value) for key, value in profile["capacity"].items()}
            if not capacity["minimum"] <= capacity["default"] <= capacity["maximum"]:
                text = "The default capacity must lie between the minimum and the maximum."
                raise ArmError(400, "InvalidAutoscaleSettings", text)
        if len(properties["profiles"]) > MOST_PROFILES:
            raise ArmError(400, "InvalidAutoscaleSettings", "There are too many profiles.")
        return {
            "id": (
                f"/subscriptions/{self._arm.subscription}/resourceGroups/{GROUP}/providers/"
                f"{RESOURCE_TYPE}/{name}"
            ),
            "name": name,
            "type": RESOURCE_TYPE,
            **body,
        }
