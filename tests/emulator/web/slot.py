"""Sites and their slots: what is known of them, and how they are written down.

A site's own resource is its slot `production`.

Documented: "Set up staging environments in Azure App Service" (which settings are swapped: not those for
TLS, IP restrictions, Always On, diagnostic logs, CORS, managed identities, the virtual network). Recorded:
acrUseManagedIdentityCreds is not swapped either (azure-docs 91449), nor is the health check (kudu 3173).
Assumed: tags are not.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.emulator.arm import GROUP, LOCATION
from tests.emulator.identities import Identity
from tests.emulator.managed_identities import Managed
from tests.emulator.web import bodies
from tests.emulator.web.plans import Plan
from tests.emulator.web.platform_log import PlatformLog
from tests.emulator.web.worker import Worker

if TYPE_CHECKING:
    from tests.emulator.web.front import Front

PRODUCTION = "production"
SITE_KIND = "Microsoft.Web/sites"
FORM = "app,linux,container"
STAYING = {
    "acrUseManagedIdentityCreds",
    "acrUserManagedIdentityID",
    "alwaysOn",
    "cors",
    "detailedErrorLoggingEnabled",
    "healthCheckPath",
    "httpLoggingEnabled",
    "ipSecurityRestrictions",
    "ipSecurityRestrictionsDefaultAction",
    "keyVaultReferenceIdentity",
    "minTlsCipherSuite",
    "minTlsVersion",
    "publicNetworkAccess",
    "requestTracingEnabled",
    "scmIpSecurityRestrictions",
    "scmIpSecurityRestrictionsDefaultAction",
    "scmIpSecurityRestrictionsUseMain",
    "scmMinTlsVersion",
    "vnetName",
    "vnetPrivatePortsCount",
    "vnetRouteAllEnabled",
}


@dataclass
class Slot:
    """One slot; `front` is where it is reached, `worker` what runs it."""

    site: Site
    name: str
    id: str
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(bodies.DEFAULTS))
    settings: dict[str, str] = field(default_factory=dict)
    connection_strings: dict[str, Any] = field(default_factory=dict)
    auth: dict[str, Any] = field(default_factory=dict)
    managed: Managed = field(default_factory=Managed)
    enabled: bool = True
    log: PlatformLog = field(default_factory=PlatformLog)
    worker: Worker = field(init=False, repr=False)
    front: Front = field(init=False, repr=False)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return self.front.server.url

    @property
    def full_name(self) -> str:
        """Its name as the resource has it."""
        return self.site.name if self.name == PRODUCTION else f"{self.site.name}/{self.name}"

    @property
    def label(self) -> str:
        """Its name as in the platform's log, and in its host's name in the real service."""
        return self.full_name.replace("/", "-")

    @property
    def image(self) -> str:
        """The image that it is configured with."""
        return bodies.image(self.config)

    @property
    def has_authentication(self) -> bool:
        """Whether the platform authenticates its callers."""
        return bool((self.auth.get("platform") or {}).get("enabled"))

    def pullers(self) -> list[Identity]:
        """Return who pulls its image: none without acrUseManagedIdentityCreds, or if it is not its own."""
        if not self.config.get("acrUseManagedIdentityCreds"):
            return []
        if chosen := self.config.get("acrUserManagedIdentityID"):
            every = self.managed.assigned.values()
            return [one for one in every if one.client_id.lower() == str(chosen).lower()]
        return [self.managed.system] if self.managed.system else []

    def vault_reader(self) -> Identity | None:
        """Return who reads the secrets that its settings refer to."""
        chosen = self.properties.get("keyVaultReferenceIdentity") or "SystemAssigned"
        if chosen == "SystemAssigned":
            return self.managed.system
        found = {id.lower(): one for id, one in self.managed.assigned.items()}
        return found.get(str(chosen).lower())

    def logs(self) -> str:
        """Return what containerlogs answers."""
        current = self.worker.current
        return self.log.text(current.output() if current else "")

    def config_document(self) -> dict[str, Any]:
        """Return its configuration as a body."""
        kind = "sites/config" if self.name == PRODUCTION else "sites/slots/config"
        return {
            "id": f"{self.id}/config/web",
            "name": self.full_name,
            "type": f"Microsoft.Web/{kind}",
            "location": LOCATION,
            "properties": {**self.config, "appSettings": None, "connectionStrings": None},
        }

    def document(self, tenant: str) -> dict[str, Any]:
        """Return it as a body."""
        host = self.front.server.name
        made: dict[str, Any] = {
            "id": self.id,
            "name": self.full_name,
            "type": SITE_KIND + ("" if self.name == PRODUCTION else "/slots"),
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
                    **{name: self.config.get(name) for name in bodies.SHOWN},
                    "appSettings": None,
                },
                "slotSwapStatus": self.site.last_swap,
                "inProgressOperationId": None,
            },
        }
        identity = self.managed.document(tenant)
        if identity["type"]:
            made["identity"] = identity
        return made


@dataclass
class Site:
    """A site; `sticky` are the settings that stay with a slot, `operation` what is under way."""

    name: str
    plan: Plan
    slots: dict[str, Slot] = field(default_factory=dict)
    sticky: dict[str, Any] = field(default_factory=dict)
    operation: str = ""
    last_swap: dict[str, str] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def production(self) -> Slot:
        """The slot that is the site itself."""
        return self.slots[PRODUCTION]

    def slot(self, name: str) -> Slot:
        """Return a slot, whatever the case of its name. Raises `KeyError`."""
        return self.slots[name.lower()]

    @property
    def sticky_settings(self) -> set[str]:
        """The names of the settings that stay with a slot."""
        return set(self.sticky.get("appSettingNames") or [])

    @property
    def sticky_connections(self) -> set[str]:
        """The names of the connection strings that stay with a slot."""
        return set(self.sticky.get("connectionStringNames") or [])
