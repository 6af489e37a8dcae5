"""Autoscale settings of Azure Monitor: stored and returned, without any scaling.

Documented: REST API of Azure Monitor ("Autoscale Settings", 2022-10-01), "Autoscale online
endpoints" (the target is a deployment).
"""

from __future__ import annotations

import re
from typing import Any

from deploy.sandbox.arm import GROUP, LOCATION, ResourceManager
from deploy.sandbox.arm_errors import ArmError, not_found_error, require_permission
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import GROUP_SCOPE, Identity
from deploy.sandbox.request_bodies import InvalidBodyError, read_json_object, reject_unknown_fields

RESOURCE_TYPE = "Microsoft.Insights/autoscaleSettings"
VERSIONS = ("2022-10-01",)
PATH = re.compile(
    rf"/resourceGroups/{GROUP}/providers/{re.escape(RESOURCE_TYPE)}(?:/(?P<name>[^/]+))?",
    re.IGNORECASE,
)
VERBS = {"GET": "read", "PUT": "write", "DELETE": "delete"}
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
        """Answer the request of the identity `who`. Raise `ArmError` or `InvalidBodyError`."""
        self._arm.version(exchange, *VERSIONS)
        match = PATH.fullmatch(path)
        name, method = match["name"] if match else None, exchange.method
        if method not in VERBS or (name is None and method != "GET"):
            raise self._arm.record_unknown_request(exchange)
        action = f"{RESOURCE_TYPE}/{VERBS[method]}"
        require_permission(who, action, GROUP_SCOPE, self._arm.group)
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
        body = read_json_object(exchange)
        properties = body.get("properties") or {}
        reject_unknown_fields(body, FIELDS, "autoscale settings")
        reject_unknown_fields(properties, PROPERTIES, "autoscale settings")
        missing = {"profiles", "targetResourceUri"} - set(properties)
        if missing or body.get("location") != LOCATION:
            raise InvalidBodyError(
                f"autoscale settings in {body.get('location')}, without {sorted(missing)}"
            )
        for profile in properties["profiles"]:
            capacity = {key: int(value) for key, value in profile["capacity"].items()}
            if not capacity["minimum"] <= capacity["default"] <= capacity["maximum"]:
                text = "The default capacity must lie between the minimum and the maximum."
                raise ArmError(400, "InvalidAutoscaleSettings", text)
        if len(properties["profiles"]) > MOST_PROFILES:
            raise ArmError(400, "InvalidAutoscaleSettings", "There are too many profiles.")
        id = self._arm.build_id(RESOURCE_TYPE, name)
        return {"id": id, "name": name, "type": RESOURCE_TYPE, **body}
