"""The plans, sites and slots of the emulated App Service, and the settings that tests change.

Assumed: infrastructure creates plans and sites before anything is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from deploy.sandbox.appservice import container_config
from deploy.sandbox.appservice.frontend import SlotFrontend
from deploy.sandbox.appservice.instance import Instance
from deploy.sandbox.appservice.plans import RESOURCE_TYPE as PLAN_KIND
from deploy.sandbox.appservice.plans import Plan
from deploy.sandbox.appservice.routes import READ_ONLY_ROUTES
from deploy.sandbox.appservice.slot import PRODUCTION, SITE_TYPE, Site, Slot
from deploy.sandbox.appservice.slot_swap import Swap
from deploy.sandbox.appservice.worker import Worker
from deploy.sandbox.container_platform import ContainerPlatform, Services

PROVIDER = "Microsoft.Web"


class WebApps(ContainerPlatform):
    """The plans and sites."""

    READ_ONLY_ROUTES = (*READ_ONLY_ROUTES, "checknameavailability")

    def __init__(self, services: Services) -> None:
        super().__init__(services, PROVIDER)
        self._conflicts = 0
        self.vaults = services.vaults
        self.plans: dict[str, Plan] = {}
        self.sites: dict[str, Site] = {}
        self.swaps: dict[str, Swap] = {}
        # Names of sites that other customers have.
        self.taken: set[str] = set()

    def add_plan(self, name: str, size: str = "S1", reserved: bool = True) -> Plan:
        """Create a plan, as infrastructure does."""
        plan = Plan(self.arm.build_id(PLAN_KIND, name), name, size, reserved)
        self.plans[name.lower()] = plan
        return plan

    def add_site(self, name: str, plan: Plan, *slots: str) -> Site:
        """Create a site with slots, as infrastructure does: with an identity each, but no image."""
        for slot in (PRODUCTION, *slots):
            created = self.new_slot(name, slot, plan)
            created.managed.system = self.directory.add(created.id)
            created.config["acrUseManagedIdentityCreds"] = True
            self.open(created)
        return self.sites[name.lower()]

    def conflict_next(self, times: int = 1) -> None:
        """Reject the next `times` writes to sites as if another operation were in progress."""
        self._conflicts = times

    def take_conflict(self) -> str:
        """Return the operation in progress that a test injected, empty if there is none."""
        if not self._conflicts:
            return ""
        self._conflicts -= 1
        return "Update"

    def begin(self, swap: Swap) -> Swap:
        """Run a swap in the background."""
        return self.tasks.begin(swap, lambda: swap.run(self.instance, self.pace))

    def instance(self, slot: Slot, settings: Mapping[str, str]) -> Instance | None:
        """Return a new instance of a slot with `settings`; None if the slot has no image."""
        if not slot.image:
            return None
        recipe = container_config.build_container_config(slot, settings, self.vaults)
        return Instance(self.services, self.pace, recipe, slot.log)

    def remove(self, slot: Slot) -> None:
        """Remove a slot; for production, the site with all slots."""
        site = slot.site
        removed = list(site.slots.values()) if slot.name == PRODUCTION else [slot]
        for removed_slot in removed:
            del site.slots[removed_slot.name.lower()]
            self._close(removed_slot)
            if removed_slot.managed.system:
                self.directory.remove(removed_slot.managed.system)
        if not site.slots:
            self.sites.pop(site.name.lower(), None)

    def new_slot(self, name: str, slot: str, plan: Plan) -> Slot:
        """Return a slot that is neither registered nor served yet."""
        site = self.sites.get(name.lower()) or Site(name, plan)
        slot_path = f"/slots/{slot}" if slot != PRODUCTION else ""
        created = Slot(site, slot, self.arm.build_id(SITE_TYPE, site.name) + slot_path)

        def instance() -> Instance | None:
            return self.instance(created, created.settings) if created.enabled else None

        created.worker = Worker(instance, self.pace, self.tasks.failures)
        created.front = SlotFrontend(created, self)
        return created

    def open(self, slot: Slot) -> None:
        """Register a slot, and serve it from now on."""
        slot.site.slots[slot.name.lower()] = slot
        self.sites[slot.site.name.lower()] = slot.site
        slot.front.server.start()

    def _close_all(self) -> None:
        slots = [slot for site in self.sites.values() for slot in site.slots.values()]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._close, slots))

    def _clear(self) -> None:
        # A swap may have started containers meanwhile.
        for site in self.sites.values():
            for slot in site.slots.values():
                slot.worker.close()
        self._conflicts = 0
        for collection in (self.plans, self.sites, self.swaps, self.taken):
            collection.clear()

    def _close(self, slot: Slot) -> None:
        slot.front.server.stop()
        slot.worker.close()
