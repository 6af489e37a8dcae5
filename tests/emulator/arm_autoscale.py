"""Autoscale settings of Azure Monitor: kept and given back; nothing is scaled by them.

Documented: REST API of Azure Monitor ("Autoscale Settings", 2022-10-01), "Autoscale online endpoints"
(the target is a deployment).
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.emulator.arm import GROUP, LOCATION, ResourceManager
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.exchange import Exchange
from tests.emulator.identities import GROUP_SCOPE, Identity

KIND = "Microsoft.Insights/autoscaleSettings"
VERSIONS = ("2022-10-01",)
PATH = re.compile(
    rf"/resourceGroups/{GROUP}/providers/{re.escape(KIND)}(?:/(?P<name>[^/]+))?", re.IGNORECASE
)
VERBS = {"GET": "Read", "PUT": "Write", "DELETE": "Delete"}
FIELDS = {"location", "tags", "properties"}
PROPERTIES = {"enabled", "name", "notifications", "predictiveAutoscalePolicy", "profiles"}
PROPERTIES |= {"targetResourceLocation", "targetResourceUri"}
MOST_PROFILES = 20


class Autoscale:
    """The provider of autoscale settings; `settings` are those that there are, by name."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        self.settings: dict[str, dict[str, Any]] = {}

    def serves(self, path: str) -> bool:
        """Whether `path` is of this provider."""
        return bool(PATH.fullmatch(path))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer. Raises `RefusedError`."""
        self._arm.version(exchange, *VERSIONS)
        found = PATH.fullmatch(path)
        name, method = found["name"] if found else None, exchange.method
        if method not in VERBS or (name is None and method != "GET"):
            raise self._arm.unknown(exchange)
        action = f"{KIND}/{VERBS[method]}"
        # Actions have no case; the roles of the emulator are written in lower case.
        if not who.may(action.replace("/Read", "/read"), GROUP_SCOPE):
            raise unauthorized(who, action, f"/resourceGroups/{GROUP}")
        if name is None:
            exchange.answer(200, {"value": list(self.settings.values())})
        elif method == "PUT":
            status = 200 if name in self.settings else 201
            self.settings[name] = self._made(name, exchange)
            exchange.answer(status, self.settings[name])
        elif method == "DELETE":
            exchange.answer(200 if self.settings.pop(name, None) else 204)
        elif name in self.settings:
            exchange.answer(200, self.settings[name])
        else:
            raise not_found(KIND, name, GROUP)

    def _made(self, name: str, exchange: Exchange) -> dict[str, Any]:
        body = json.loads(exchange.content())
        properties = body.get("properties") or {}
        unknown = (set(body) - FIELDS) | (set(properties) - PROPERTIES)
        missing = {"profiles", "targetResourceUri"} - set(properties)
        if unknown or missing or body.get("location") != LOCATION:
            text = f"autoscale settings: unknown {sorted(unknown)}, missing {sorted(missing)}"
            self._arm.server.unexpected.append(f"ARM: {text}")
            raise RefusedError(400, "BadRequest", text)
        for profile in properties["profiles"]:
            capacity = {key: int(value) for key, value in profile["capacity"].items()}
            if not capacity["minimum"] <= capacity["default"] <= capacity["maximum"]:
                text = "The default capacity must lie between the minimum and the maximum."
                raise RefusedError(400, "InvalidAutoscaleSettings", text)
        if len(properties["profiles"]) > MOST_PROFILES:
            raise RefusedError(400, "InvalidAutoscaleSettings", "There are too many profiles.")
        return {
            "id": f"/subscriptions/{self._arm.subscription}/resourceGroups/{GROUP}/providers/{KIND}/{name}",
            "name": name,
            "type": KIND,
            **body,
        }
