"""Create what infrastructure provides before a deployment, as a checkout's configuration names it.

That is workspaces, sites with their slots, the vault with clients' keys, and roles. Names stay as
they are; addresses and ids are those of the emulated Azure.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from deploy.azure import caller_key
from deploy.config.target import AnySpec, is_spec_for
from deploy.sandbox.acr import Acr
from deploy.sandbox.arm import GROUP
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.frontend import AUDIENCE as SCORING_AUDIENCE
from deploy.sandbox.identities import (
    ACR_PULL,
    ACR_PUSH,
    CONTRIBUTOR,
    DATA_SCIENTIST,
    READER,
    SECRETS_USER,
    Identity,
)
from deploy.sandbox.vault import Vault
from deploy.targets import appservice, azureml
from deploy.targets.appservice import naming
from deploy.targets.appservice.authentication import token_audience
from deploy.targets.azureml.naming import endpoint_name

PLAN_NAME = "asp-flows"


class Provisioner:
    """The infrastructure of one emulated Azure; the identity `developer` may deploy there."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._keys: dict[str, str] = {}
        self.developer: Identity = azure.identity("developer", group=[CONTRIBUTOR])
        self.developer.assign_roles("subscription", READER)

    def provision_environment(self, place: Any) -> dict[str, Any]:
        """Create what an environment's entry names; return the values of the entry that change."""
        server, _, folder = str(place["registry"]).partition("/")
        registry = self._registry(server)
        changes = self._azure.place(registry, folder)
        if "resource_group" in place:
            changes["resource_group"] = GROUP
        if "workspace" in place:
            workspace = self._azure.workspace(str(place["workspace"]), registry)
            self.developer.assign_roles(workspace.name, DATA_SCIENTIST)
        if "key_vault" in place:
            changes["key_vault"] = self._vault(str(place["key_vault"])).server.url
        if "auth_client" in place:
            changes["auth_client"] = self._azure.application("flows").client_id
        return changes

    def provision_site(self, spec: AnySpec) -> None:
        """Create the site of a spec whose target is appservice, its slot and its clients' key."""
        assert is_spec_for(spec, appservice.TARGET)
        web, settings = self._azure.web, spec.settings
        plan = web.plans.get(PLAN_NAME) or web.add_plan(PLAN_NAME)
        site = web.add_site(
            naming.app_name(spec), plan, *([settings.slot] if settings.slot else [])
        )
        scopes = {self._find_registry(str(spec.place.registry)).name: ACR_PULL}
        if settings.auth == "key":
            vault = self._find_vault(str(spec.place.key_vault))
            self._keys[site.name] = secrets.token_urlsafe(32)
            vault.set(caller_key.secret_name(spec), self._keys[site.name])
            scopes[vault.name] = SECRETS_USER
        for slot in site.slots.values():
            assert slot.managed.system
            for scope, role in scopes.items():
                slot.managed.system.assign_roles(scope, role)

    def get_scoring_access(self, spec: AnySpec) -> tuple[str, dict[str, str]]:
        """Return the scoring URL of a deployed flow, and the headers that authenticate a client."""
        if is_spec_for(spec, appservice.TARGET):
            site = self._azure.web.sites[naming.app_name(spec).lower()]
            secret = self._keys.get(site.name) or self._token(token_audience(spec))
            return site.production.url, _bearer_header(secret)
        assert is_spec_for(spec, azureml.TARGET)
        workspace = self._azure.find_workspace(spec.place.workspace)
        endpoint = workspace.endpoint(endpoint_name(spec))
        uses_key = endpoint.auth_mode == "Key"
        return endpoint.url, _bearer_header(
            endpoint.keys[0] if uses_key else self._token(SCORING_AUDIENCE)
        )

    def _registry(self, server: str) -> Acr:
        registry = self._azure.registry(re.sub(r"[^a-z0-9]", "", _first_label(server)))
        self.developer.assign_roles(registry.name, ACR_PUSH, READER)
        return registry

    def _vault(self, url: str) -> Vault:
        vault = self._azure.vault(
            re.sub(r"[^a-z0-9-]", "", _first_label(url.removeprefix("https://")))
        )
        self.developer.assign_roles(vault.name, SECRETS_USER)
        return vault

    def _find_registry(self, registry: str) -> Acr:
        server = registry.partition("/")[0]
        return next(a for a in self._azure.registries.values() if a.login_server == server)

    def _find_vault(self, url: str) -> Vault:
        return next(v for v in self._azure.vaults.values() if v.server.url == url)

    def _token(self, audience: str) -> str:
        return self._azure.directory.issue(self.developer, audience)


def _first_label(host: str) -> str:
    """Return a host's first label; it may contain a variable, as in ${ACR_NAME}.azurecr.io."""
    return host.partition(".")[0].lower()


def _bearer_header(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
