"""The plans, sites and slots of the emulated App Service, and the settings that tests change.

Assumed: infrastructure creates plans and sites before anything is deployed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from deploy.sandbox.appservice import container_config
from deploy.sandbox.appservice.frontend import SlotFrontend
from deploy.sandbox.appservice.instance import Instance
from deploy.sandbox.appservice.plans import Plan
from deploy.sandbox.appservice.routes import READ_ONLY_ROUTES
from deploy.sandbox.appservice.slot import PRODUCTION, Site, Slot
from deploy.sandbox.appservice.slot_swap import Swap
from deploy.sandbox.appservice.worker import Worker
from deploy.sandbox.arm import GROUP, ResourceManager
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.engine import Engine
from deploy.sandbox.identities import Directory
from deploy.sandbox.image_pull import ImagePuller
from deploy.sandbox.time_scale import TimeScale
from deploy.sandbox.vault import Vault

PROVIDER = "Microsoft.Web"


class WebApps:
    """The plans and sites."""

    def __init__(
        self,
        arm: ResourceManager,
        authority: CertificateAuthority,
        directory: Directory,
        engine: Engine,
        puller: ImagePuller,
        vaults: Mapping[str, Vault],
    ) -> None:
        self._arm = arm
        self._authority = authority
        self._engine = engine
        self._puller = puller
        self._threads: list[threading.Thread] = []
        # All frontends since the last reset, and errors of the emulator outside of them.
        self._opened: list[SlotFrontend] = []
        self._failures: list[str] = []
        self._conflicts = 0
        self.directory = directory
        self.vaults = vaults
        self.pace = TimeScale()
        self.lock = threading.RLock()
        self.plans: dict[str, Plan] = {}
        self.sites: dict[str, Site] = {}
        self.swaps: dict[str, Swap] = {}
        # Names of sites that other customers have.
        self.taken: set[str] = set()

    def add_plan(self, name: str, size: str = "S1", reserved: bool = True) -> Plan:
        """Create a plan, as infrastructure does."""
        plan = Plan(self.id("serverfarms", name), name, size, reserved)
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

    @contextlib.contextmanager
    def hold_swaps(self) -> Iterator[None]:
        """Keep swaps from ending inside the block."""
        self.pace.completion_gate.clear()
        try:
            yield
        finally:
            self.pace.completion_gate.set()

    @property
    def writes(self) -> list[str]:
        """All requests that changed something here, as `PUT sites/faq/config/appsettings`."""
        requests = self._arm.server.requests("PUT|PATCH|DELETE|POST", f"/providers/{PROVIDER}/")
        paths = [
            (request.method, request.path.partition("?")[0].partition(f"/{PROVIDER}/")[2])
            for request in requests
        ]
        read_only = (*READ_ONLY_ROUTES, "checknameavailability")
        return [f"{method} {path}" for method, path in paths if not path.endswith(read_only)]

    def problems(self) -> list[str]:
        """Return errors of the emulator, including those of removed slots."""
        problems = [text for front in self._opened for text in front.server.failures]
        return problems + self._failures

    def reset(self) -> None:
        """Remove everything, and restore the defaults."""
        self.pace.completion_gate.set()
        slots = [slot for site in self.sites.values() for slot in site.slots.values()]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._close, slots))
        for thread in self._threads:
            thread.join()
        # A swap may have started containers meanwhile.
        for slot in slots:
            slot.worker.close()
        self._threads.clear()
        self._opened.clear()
        self._failures.clear()
        self.pace.reset()
        self._conflicts = 0
        for collection in (self.plans, self.sites, self.swaps, self.taken):
            collection.clear()

    def begin(self, swap: Swap) -> Swap:
        """Run a swap in the background."""

        def work() -> None:
            swap.run(self.instance, self.pace)
            if swap.failure:
                self._failures.append(swap.failure)

        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()
        return swap

    def instance(self, slot: Slot, settings: Mapping[str, str]) -> Instance | None:
        """Return a new instance of a slot with `settings`; None if the slot has no image."""
        if not slot.image:
            return None
        recipe = container_config.build_container_config(slot, settings, self.vaults)
        return Instance(self._engine, self._puller, self.pace, recipe, slot.log)

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

    def id(self, kind: str, name: str) -> str:
        """Return the resource id of a plan or a site."""
        group = f"/subscriptions/{self._arm.subscription}/resourceGroups/{GROUP}"
        return f"{group}/providers/{PROVIDER}/{kind}/{name}"

    def new_slot(self, name: str, slot: str, plan: Plan) -> Slot:
        """Return a slot that is neither registered nor served yet."""
        site = self.sites.get(name.lower()) or Site(name, plan)
        id = self.id("sites", site.name) + (f"/slots/{slot}" if slot != PRODUCTION else "")
        created = Slot(site, slot, id)

        def instance() -> Instance | None:
            return self.instance(created, created.settings) if created.enabled else None

        created.worker = Worker(instance, self.pace, self._failures)
        created.front = SlotFrontend(created, self._authority, self.directory, self.pace)
        return created

    def open(self, slot: Slot) -> None:
        """Register a slot, and serve it from now on."""
        slot.site.slots[slot.name.lower()] = slot
        self.sites[slot.site.name.lower()] = slot.site
        self._opened.append(slot.front)
        slot.front.server.start()

    def _close(self, slot: Slot) -> None:
        slot.front.server.stop()
        slot.worker.close()
