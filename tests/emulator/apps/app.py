"""One container app: its configuration, its revisions, and the host that sends requests to them.

Recorded (tests of azure-cli, 2024-03-01): its fields; a rule may have the weight 0. Documented: "Traffic
splitting" (by weight, in per cent), "Revisions" (a change of the template makes one; others do not).
Assumed: `latestRevision` is the newest that is active and ready.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.apps.revision import ABSENT, Revision
from tests.emulator.exchange import Exchange
from tests.emulator.managed_identities import Managed
from tests.emulator.server import Server


@dataclass
class App:
    """One app; `properties` are as it was last told, `operation` is under way while it is set."""

    id: str
    name: str
    location: str
    server: Server
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    managed: Managed = field(default_factory=Managed)
    revisions: dict[str, Revision] = field(default_factory=dict)
    operation: str = ""
    state: str = "InProgress"
    _turns: Any = field(default_factory=itertools.count, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Its traffic rules."""
        found: list[dict[str, Any]] = (
            self.properties["configuration"]["ingress"].get("traffic") or []
        )
        return found

    def weight(self, revision: Revision) -> int:
        """Return the per cent of requests that a revision gets."""
        return sum(rule["weight"] for rule in self.rules if self._goes_to(rule) is revision)

    def serve(self, exchange: Exchange) -> None:
        """Hand a request on to the revision whose turn it is."""
        with self._lock:
            # 37 and 100 have no divisor in common: each of a hundred requests draws another number.
            drawn = next(self._turns) * 37 % 100
        for rule in self.rules:
            drawn -= rule["weight"]
            if drawn < 0:
                revision = self._goes_to(rule)
                if revision:
                    revision.serve(exchange)
                    return
                break
        exchange.answer(404, ABSENT)

    def document(self, tenant: str) -> dict[str, Any]:
        """Return it as a body: no secret has its value, and none has one."""
        configuration = self.properties["configuration"]
        ingress = {**configuration["ingress"], "fqdn": self.server.name, "transport": "Auto"}
        latest = next(reversed(self.revisions.values()), None)
        return {
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.App/containerApps",
            "location": self.location,
            "tags": self.tags,
            "identity": self.managed.document(tenant),
            "properties": {
                **self.properties,
                "managedEnvironmentId": self.properties["environmentId"],
                "provisioningState": self.state,
                "runningStatus": "Running",
                "configuration": {**configuration, "ingress": ingress},
                "latestRevisionName": latest.name if latest else None,
                "latestRevisionFqdn": latest.server.name if latest else None,
            },
        }

    def _goes_to(self, rule: dict[str, Any]) -> Revision | None:
        if not rule.get("latestRevision"):
            return self.revisions.get(rule["revisionName"])
        every = [one for one in self.revisions.values() if one.active]
        return next((one for one in reversed(every) if one.state == "Provisioned"), None)
