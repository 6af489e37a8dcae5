"""One container app: its configuration, its revisions, and the host that distributes requests.

Recorded (tests of azure-cli, 2024-03-01): its fields; a rule may have the weight 0. Documented:
"Traffic splitting" (by weight, in percent), "Revisions" (a change of the template creates one;
other changes do not). Assumed: `latestRevision` is the newest active and ready revision.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.containerapps.revision import ABSENT, Revision
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.managed_identities import ManagedIdentities
from deploy.sandbox.weighted_round_robin import WeightedRoundRobin


@dataclass
class App:
    """A container app."""

    id: str
    name: str
    location: str
    server: HttpsServer
    tags: dict[str, str] = field(default_factory=dict)
    # As last written.
    properties: dict[str, Any] = field(default_factory=dict)
    managed: ManagedIdentities = field(default_factory=ManagedIdentities)
    revisions: dict[str, Revision] = field(default_factory=dict)
    # The id of the operation in progress, empty if there is none.
    operation: str = ""
    state: str = "InProgress"
    _balance: WeightedRoundRobin = field(default_factory=WeightedRoundRobin, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def traffic_rules(self) -> list[dict[str, Any]]:
        """The traffic rules."""
        rules: list[dict[str, Any]] = (
            self.properties["configuration"]["ingress"].get("traffic") or []
        )
        return rules

    def traffic_weight(self, revision: Revision) -> int:
        """Return the percentage of requests that a revision gets."""
        return sum(
            rule["weight"] for rule in self.traffic_rules if self._find_revision(rule) is revision
        )

    def serve(self, exchange: Exchange) -> None:
        """Forward a request to the revision that the traffic rules select."""
        rules = {str(number): rule for number, rule in enumerate(self.traffic_rules)}
        with self._lock:
            chosen = self._balance.choose({key: rule["weight"] for key, rule in rules.items()})
        revision = self._find_revision(rules[chosen]) if chosen else None
        if revision:
            revision.serve(exchange)
        else:
            exchange.answer(404, ABSENT)

    def document(self, tenant: str) -> dict[str, Any]:
        """Return the app in the form of a response's body; secrets have no values."""
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

    def _find_revision(self, rule: dict[str, Any]) -> Revision | None:
        if not rule.get("latestRevision"):
            return self.revisions.get(rule["revisionName"])
        active = [revision for revision in self.revisions.values() if revision.active]
        return next(
            (revision for revision in reversed(active) if revision.state == "Provisioned"), None
        )
