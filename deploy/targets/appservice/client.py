"""Read access to App Service, with plain HTTP requests.

They take about a second; importing the SDK alone takes two. Writes use the SDK (`writer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from deploy.azure import clouds, pull_permission
from deploy.azure.resource_manager import ResourceManager
from deploy.core.errors import DeployError
from deploy.targets.appservice import errors, naming, state
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import ObservedState, Site

# The API version of azure-mgmt-web 11, so that reads return what the SDK wrote.
API = "2025-05-01"
PROVIDER = "Microsoft.Web"
POLL_SECONDS = 5.0


class Client:
    """Client that reads one spec's site and its slot."""

    def __init__(self, spec: SiteSpec) -> None:
        place = spec.place
        self._spec = spec
        self.name = naming.app_name(spec)
        self.where = state.describe_site(spec)
        self.arm = ResourceManager(
            clouds.resolve_cloud(place.cloud),
            lambda error, operation: errors.to_deploy_error(spec, error, operation),
        )
        self.poll_seconds = self.arm.cloud.polling_interval or POLL_SECONDS
        self.subscription = f"/subscriptions/{place.subscription}"
        group = f"{self.subscription}/resourceGroups/{place.resource_group}"
        self.path = f"{group}/providers/{PROVIDER}/sites/{self.name}"

    def read_state(self) -> ObservedState:
        """Return site, slot and plan. Raise `DeployError` if site or slot does not exist."""
        slot = self._spec.settings.slot
        with ThreadPoolExecutor(3) as pool:
            sites = [pool.submit(self.read_site, name) for name in (PRODUCTION, slot) if name]
            names = pool.submit(self.arm.get, f"{self.path}/config/slotConfigNames", API)
            production, *slots = [future.result() for future in sites]
        if production is None:
            raise self._missing_site_error()
        if slot and not slots[0]:
            hint = (
                "create it with the infrastructure (infra/), with its own identity, or remove "
                "`slot` to deploy in place"
            )
            raise DeployError(self.where, f"it has no slot {slot}", hint)
        sticky = ((names.result() or {}).get("properties") or {}).get("appSettingNames") or ()
        return ObservedState(
            production, slots[0] if slots else None, tuple(sticky), self._read_plan(production)
        )

    def add_pull_permissions(self, observed: ObservedState) -> ObservedState:
        """Return `observed` with the pull permissions of the sites' identities, if readable."""
        spec = self._spec
        server = (spec.place.registry or "").partition("/")[0]
        registry = pull_permission.find_registry_id(self.arm, str(spec.place.subscription), server)
        permissions = {}
        for site in observed.sites:
            identity = state.select_identity(spec, site)
            principal = identity.principal if identity else ""
            permissions[site.name] = pull_permission.can_pull(self.arm, registry, principal)
        return replace(observed, pull_permissions=permissions)

    def read_site(self, name: str) -> Site | None:
        """Return production or a slot with its configuration, or None."""
        path = self.site_id(name)
        data = self.arm.get(path, API)
        if data is None:
            return None
        with ThreadPoolExecutor(3) as pool:
            web = pool.submit(self.arm.get, f"{path}/config/web", API)
            auth = pool.submit(self.arm.get, f"{path}/config/authsettingsV2", API)
            settings = pool.submit(self.arm.post, f"{path}/config/appsettings/list", API)
            settings_data: Mapping[str, Any] = settings.result().json()
            return state.parse_site(
                name, data, web.result() or {}, settings_data, auth.result() or {}
            )

    def read_log(self, name: str) -> list[str]:
        """Return the last log lines of the platform and the container."""
        response = self.arm.post(f"{self.site_id(name)}/containerlogs", API)
        return response.content.decode("utf-8", "replace").splitlines()

    def site_id(self, name: str) -> str:
        """Return the resource ID of production or a slot."""
        return self.path if name == PRODUCTION else f"{self.path}/slots/{name}"

    def _read_plan(self, production: Site) -> state.ServicePlan:
        """Return the App Service plan; if it is unreadable, the plan in the site's properties."""
        try:
            data = self.arm.get(production.plan, API)
        except DeployError:
            data = None
        return state.parse_plan(data) if data else state.parse_site_plan(production)

    def _missing_site_error(self) -> DeployError:
        place = self._spec.place
        path = f"{self.subscription}/providers/{PROVIDER}/checknameavailability"
        body = {"name": self.name, "type": f"{PROVIDER}/sites"}
        try:
            is_taken = not self.arm.post(path, API, body).json().get("nameAvailable", True)
        except DeployError:
            is_taken = False
        if is_taken:
            message = f"the name is taken by a site outside of the group {place.resource_group}"
            return DeployError(self.where, message, "set another `app`, or correct resource_group")
        message = f"the site does not exist in the group {place.resource_group}"
        hint = "create it with the infrastructure (infra/), or correct `app`"
        return DeployError(self.where, message, hint)
