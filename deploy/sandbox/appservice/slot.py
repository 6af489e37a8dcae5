"""Sites and their slots: their state, and its form in responses.

A site's own resource is its slot `production`.

Documented: "Set up staging environments in Azure App Service" (which settings are swapped: not
those for TLS, IP restrictions, Always On, diagnostic logs, CORS, managed identities, the virtual
network). Recorded: acrUseManagedIdentityCreds is not swapped either (azure-docs 91449), nor is the
health check (kudu 3173). Assumed: tags are not.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploy.sandbox.appservice import request_bodies
from deploy.sandbox.appservice.plans import Plan
from deploy.sandbox.appservice.platform_log import PlatformLog
from deploy.sandbox.appservice.worker import Worker
from deploy.sandbox.arm import GROUP, LOCATION
from deploy.sandbox.identities import Identity
from deploy.sandbox.managed_identities import ManagedIdentities

if TYPE_CHECKING:
    from deploy.sandbox.appservice.frontend import SlotFrontend

PRODUCTION = "production"
SITE_TYPE = "Microsoft.Web/sites"
FORM = "app,linux,container"


@dataclass
class Slot:
    """A slot of a site."""

    site: Site
    name: str
    id: str
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(request_bodies.DEFAULTS))
    settings: dict[str, str] = field(default_factory=dict)
    connection_strings: dict[str, Any] = field(default_factory=dict)
    auth: dict[str, Any] = field(default_factory=dict)
    managed: ManagedIdentities = field(default_factory=ManagedIdentities)
    enabled: bool = True
    log: PlatformLog = field(default_factory=PlatformLog)
    # Runs the slot's container.
    worker: Worker = field(init=False, repr=False)
    # Receives the slot's requests.
    front: SlotFrontend = field(init=False, repr=False)

    @property
    def url(self) -> str:
        """The slot's address."""
        return self.front.server.url

    @property
    def full_name(self) -> str:
        """The name of the slot's resource."""
        return self.site.name if self.name == PRODUCTION else f"{self.site.name}/{self.name}"

    @property
    def label(self) -> str:
        """The slot's name in the platform's log, and in its host name in the real service."""
        return self.full_name.replace("/", "-")

    @property
    def image(self) -> str:
        """The configured image."""
        return request_bodies.parse_image(self.config)

    @property
    def has_authentication(self) -> bool:
        """Whether the platform authenticates clients."""
        return bool((self.auth.get("platform") or {}).get("enabled"))

    def pullers(self) -> list[Identity]:
        """Return the identities that pull the image.

        None without acrUseManagedIdentityCreds, or if the configured identity is not assigned to
        the slot.
        """
        if not self.config.get("acrUseManagedIdentityCreds"):
            return []
        if client_id := self.config.get("acrUserManagedIdentityID"):
            identities = self.managed.assigned.values()
            return [
                identity
                for identity in identities
                if identity.client_id.lower() == str(client_id).lower()
            ]
        return [self.managed.system] if self.managed.system else []

    def vault_reader(self) -> Identity | None:
        """Return the identity that reads the secrets which settings refer to."""
        resource_id = self.properties.get("keyVaultReferenceIdentity") or "SystemAssigned"
        if resource_id == "SystemAssigned":
            return self.managed.system
        identities = {id.lower(): identity for id, identity in self.managed.assigned.items()}
        return identities.get(str(resource_id).lower())

    def logs(self) -> str:
        """Return the response of containerlogs."""
        current = self.worker.current
        return self.log.text(current.output() if current else "")

    def config_document(self) -> dict[str, Any]:
        """Return the configuration in the form of a response's body."""
        kind = "sites/config" if self.name == PRODUCTION else "sites/slots/config"
        return {
            "id": f"{self.id}/config/web",
            "name": self.full_name,
            "type": f"Microsoft.Web/{kind}",
            "location": LOCATION,
            "properties": {**self.config, "appSettings": None, "connectionStrings": None},
        }

    def document(self, tenant: str) -> dict[str, Any]:
        """Return the slot in the form of a response's body."""
        host = self.front.server.name
        body: dict[str, Any] = {
            "id": self.id,
            "name": self.full_name,
            "type": SITE_TYPE + ("" if self.name == PRODUCTION else "/slots"),
            "kind": FORM,
            "location": LOCATION,
            "tags": self.tags,
            "properties": {
                "clientAffinityEnabled": True,
                "httpsOnly": False,
                "keyVaultReferenceIdentity": "SystemAssigned",
                **self.properties,
                "name": self.full_name,
                "state": "Running" if self.enabled else "Stopped",
                "enabled": self.enabled,
                "hostNames": [host],
                "enabledHostNames": [host],
                "defaultHostName": host,
                "availabilityState": "Normal",
                "usageState": "Normal",
                "reserved": self.site.plan.reserved,
                "resourceGroup": GROUP,
                "serverFarmId": self.site.plan.id,
                "sku": self.site.plan.tier,
                "siteConfig": {
                    **{
                        name: self.config.get(name)
                        for name in request_bodies.FIELDS["shown_configuration"]
                    },
                    "appSettings": None,
                },
                "slotSwapStatus": self.site.last_swap,
                "inProgressOperationId": None,
            },
        }
        identity = self.managed.document(tenant)
        if identity["type"]:
            body["identity"] = identity
        return body


@dataclass
class Site:
    """A site with its slots."""

    name: str
    plan: Plan
    slots: dict[str, Slot] = field(default_factory=dict)
    # The names of settings and connection strings that stay with a slot.
    sticky: dict[str, Any] = field(default_factory=dict)
    # The operation in progress, empty if there is none.
    operation: str = ""
    last_swap: dict[str, str] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def production(self) -> Slot:
        """The slot that is the site itself."""
        return self.slots[PRODUCTION]

    def slot(self, name: str) -> Slot:
        """Return a slot by name, ignoring case. Raise `KeyError` if there is none."""
        return self.slots[name.lower()]

    @property
    def sticky_settings(self) -> set[str]:
        """The names of the settings that stay with a slot."""
        return set(self.sticky.get("appSettingNames") or [])

    @property
    def sticky_connections(self) -> set[str]:
        """The names of the connection strings that stay with a slot."""
        return set(self.sticky.get("connectionStringNames") or [])
