"""What infrastructure makes before anything is deployed, as a checkout's configuration names it.

Workspaces, sites with their slots, the vault with the callers' keys, and who may what. Names stay as they
are; addresses and ids lead to the emulated Azure.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from deploy.arm import keys
from deploy.model import Spec
from deploy.targets.appservice import naming
from deploy.targets.appservice.access import audience
from deploy.targets.appservice.settings import place_of, settings_of
from deploy.targets.azureml.naming import endpoint_of
from tests.emulator.acr import Acr
from tests.emulator.arm import GROUP
from tests.emulator.azure import Azure
from tests.emulator.identities import (
    ACR_PULL,
    ACR_PUSH,
    CONTRIBUTOR,
    DATA_SCIENTIST,
    READER,
    SECRETS_USER,
    Identity,
)
from tests.emulator.ml.front import AUDIENCE as SCORING_AUDIENCE
from tests.emulator.vault import Vault

PLAN = "asp-flows"


class Infrastructure:
    """What stands in one emulated Azure; `developer` may deploy there."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._keys: dict[str, str] = {}
        self.developer: Identity = azure.identity("developer", group=[CONTRIBUTOR])
        self.developer.give("subscription", READER)

    def place(self, place: Any) -> dict[str, Any]:
        """Make what an environment's entry names; return what of the entry is another here."""
        server, _, folder = str(place["registry"]).partition("/")
        registry = self._registry(server)
        changes = self._azure.place(registry, folder)
        if "resource_group" in place:
            changes["resource_group"] = GROUP
        if "workspace" in place:
            workspace = self._azure.workspace(str(place["workspace"]), registry)
            self.developer.give(workspace.name, DATA_SCIENTIST)
        if "key_vault" in place:
            changes["key_vault"] = self._vault(str(place["key_vault"])).server.url
        if "auth_client" in place:
            changes["auth_client"] = self._azure.application("flows").client_id
        return changes

    def site(self, spec: Spec) -> None:
        """Make the site of a spec whose target is appservice, its slot, and its callers' key."""
        web, settings = self._azure.web, settings_of(spec)
        plan = web.plans.get(PLAN) or web.add_plan(PLAN)
        made = web.add_site(naming.app_of(spec), plan, *([settings.slot] if settings.slot else []))
        scopes = {self._of_server(str(spec.place.registry)).name: ACR_PULL}
        if settings.auth == "key":
            vault = self._of_url(str(place_of(spec).key_vault))
            self._keys[made.name] = secrets.token_urlsafe(32)
            vault.set(keys.name_of(spec), self._keys[made.name])
            scopes[vault.name] = SECRETS_USER
        for slot in made.slots.values():
            assert slot.managed.system
            for scope, role in scopes.items():
                slot.managed.system.give(scope, role)

    def access(self, spec: Spec) -> tuple[str, dict[str, str]]:
        """Return where a deployed flow is scored, and the headers with which a caller is let in."""
        if spec.target == "appservice":
            site = self._azure.web.sites[naming.app_of(spec).lower()]
            secret = self._keys.get(site.name) or self._token(audience(spec))
            return site.production.url, _bearer(secret)
        workspace = self._azure.find_workspace(spec.place.workspace)
        endpoint = workspace.endpoint(endpoint_of(spec))
        by_key = endpoint.auth_mode == "Key"
        return endpoint.url, _bearer(endpoint.keys[0] if by_key else self._token(SCORING_AUDIENCE))

    def _registry(self, server: str) -> Acr:
        registry = self._azure.registry(re.sub(r"[^a-z0-9]", "", _first(server)))
        self.developer.give(registry.name, ACR_PUSH, READER)
        return registry

    def _vault(self, url: str) -> Vault:
        vault = self._azure.vault(re.sub(r"[^a-z0-9-]", "", _first(url.removeprefix("https://"))))
        self.developer.give(vault.name, SECRETS_USER)
        return vault

    def _of_server(self, registry: str) -> Acr:
        server = registry.partition("/")[0]
        return next(a for a in self._azure.registries.values() if a.login_server == server)

    def _of_url(self, url: str) -> Vault:
        return next(v for v in self._azure.vaults.values() if v.server.url == url)

    def _token(self, audience: str) -> str:
        return self._azure.directory.issue(self.developer, audience)


def _first(host: str) -> str:
    """Return a host's first name; it may be a variable still, as in ${ACR_NAME}.azurecr.io."""
    return host.partition(".")[0].lower()


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
