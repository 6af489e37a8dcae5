"""Looking at a site: plain requests, which take a second where the SDK's import alone takes two.

What is written goes through the SDK (`writes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from deploy import cloud
from deploy.arm import roles
from deploy.arm.client import ResourceManager
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.appservice import errors, naming, state
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import place_of, settings_of
from deploy.targets.appservice.state import Site, World

# That of azure-mgmt-web 11: what is read is then what it wrote.
API = "2025-05-01"
PROVIDER = "Microsoft.Web"


class Client:
    """Asks for one spec's site."""

    def __init__(self, spec: Spec) -> None:
        place = place_of(spec)
        self._spec = spec
        self.name = naming.app_of(spec)
        self.where = state.where(spec)
        self.arm = ResourceManager(
            cloud.chosen(place.cloud), lambda said, what: errors.refused(spec, said, what)
        )
        self.subscription = f"/subscriptions/{place.subscription}"
        group = f"{self.subscription}/resourceGroups/{place.resource_group}"
        self.path = f"{group}/providers/{PROVIDER}/sites/{self.name}"

    def look(self) -> World:
        """Return site, slot and plan. Raises `DeployError` for what infrastructure has not made."""
        slot = settings_of(self._spec).slot
        with ThreadPoolExecutor(3) as pool:
            sites = [pool.submit(self.site, name) for name in (PRODUCTION, slot) if name]
            names = pool.submit(self.arm.get, f"{self.path}/config/slotConfigNames", API)
            production, *slots = [one.result() for one in sites]
        if production is None:
            raise self._missing()
        if slot and not slots[0]:
            hint = (
                "infrastructure makes it, with an identity of its own; or leave `slot` out to "
                "deploy in place"
            )
            raise DeployError(self.where, f"it has no slot {slot}", hint)
        sticky = ((names.result() or {}).get("properties") or {}).get("appSettingNames") or ()
        return World(production, slots[0] if slots else None, tuple(sticky), self._plan(production))

    def with_pullers(self, world: World) -> World:
        """Return `world` with whether its identities may pull, as far as that may be seen."""
        spec = self._spec
        server = (spec.place.registry or "").partition("/")[0]
        registry = roles.registry_id(self.arm, str(spec.place.subscription), server)
        found = {}
        for site in world.sites:
            identity = state.identity_of(spec, site)
            principal = identity.principal if identity else ""
            found[site.name] = roles.may_pull(self.arm, registry, principal)
        return replace(world, pullers=found)

    def site(self, name: str) -> Site | None:
        """Return production, or a slot, with its configuration; None where it is not there."""
        path = self.at(name)
        data = self.arm.get(path, API)
        if data is None:
            return None
        with ThreadPoolExecutor(3) as pool:
            web = pool.submit(self.arm.get, f"{path}/config/web", API)
            auth = pool.submit(self.arm.get, f"{path}/config/authsettingsV2", API)
            settings = pool.submit(self.arm.post, f"{path}/config/appsettings/list", API)
            given: Mapping[str, Any] = settings.result().json()
            return state.site(name, data, web.result() or {}, given, auth.result() or {})

    def log(self, name: str) -> list[str]:
        """Return the end of what the platform and the container said."""
        answer = self.arm.post(f"{self.at(name)}/containerlogs", API)
        return answer.content.decode("utf-8", "replace").splitlines()

    def at(self, name: str) -> str:
        """Return the resource id of production, or of a slot."""
        return self.path if name == PRODUCTION else f"{self.path}/slots/{name}"

    def _plan(self, production: Site) -> state.ServicePlan:
        """Return the plan; what the site says of it, where only that may be seen."""
        try:
            data = self.arm.get(production.plan, API)
        except DeployError:
            data = None
        return state.plan(data) if data else state.plan_of(production)

    def _missing(self) -> DeployError:
        place = place_of(self._spec)
        path = f"{self.subscription}/providers/{PROVIDER}/checknameavailability"
        body = {"name": self.name, "type": f"{PROVIDER}/sites"}
        try:
            taken = not self.arm.post(path, API, body).json().get("nameAvailable", True)
        except DeployError:
            taken = False
        if taken:
            what = f"the name is taken, and not by a site in the group {place.resource_group}"
            return DeployError(self.where, what, "set another `app`, or correct resource_group")
        what = f"there is no such site in the group {place.resource_group}"
        hint = "infrastructure makes sites (infra/); then deploy, or correct `app`"
        return DeployError(self.where, what, hint)
