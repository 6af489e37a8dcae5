"""Plans, sites and slots: what there is, and the knobs that a test turns.

Assumed: infrastructure has made plans and sites before anybody deploys.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from tests.emulator.arm import GROUP, ResourceManager
from tests.emulator.certificates import Authority
from tests.emulator.engine import Engine
from tests.emulator.identities import Directory
from tests.emulator.pace import Pace
from tests.emulator.pull import Puller
from tests.emulator.vault import Vault
from tests.emulator.web import recipes
from tests.emulator.web.front import Front
from tests.emulator.web.instance import Instance
from tests.emulator.web.plans import Plan
from tests.emulator.web.routes import READING
from tests.emulator.web.slot import PRODUCTION, Site, Slot
from tests.emulator.web.swap import Swap
from tests.emulator.web.worker import Worker

PROVIDER = "Microsoft.Web"


class WebApps:
    """What there is. `taken` are names of sites that somebody else in the world has."""

    def __init__(
        self,
        arm: ResourceManager,
        authority: Authority,
        directory: Directory,
        engine: Engine,
        puller: Puller,
        vaults: Mapping[str, Vault],
    ) -> None:
        self._arm = arm
        self._authority = authority
        self._engine = engine
        self._puller = puller
        self._threads: list[threading.Thread] = []
        # Every front since the last reset, and what failed beside them.
        self._opened: list[Front] = []
        self._failures: list[str] = []
        self._conflicts = 0
        self.directory = directory
        self.vaults = vaults
        self.pace = Pace()
        self.lock = threading.RLock()
        self.plans: dict[str, Plan] = {}
        self.sites: dict[str, Site] = {}
        self.swaps: dict[str, Swap] = {}
        self.taken: set[str] = set()

    def add_plan(self, name: str, size: str = "S1", reserved: bool = True) -> Plan:
        """Make a plan, as infrastructure does."""
        plan = Plan(self.id("serverfarms", name), name, size, reserved)
        self.plans[name.lower()] = plan
        return plan

    def add_site(self, name: str, plan: Plan, *slots: str) -> Site:
        """Make a site with slots, as infrastructure does: each has an identity, and runs nothing yet."""
        for slot in (PRODUCTION, *slots):
            made = self.new_slot(name, slot, plan)
            made.managed.system = self.directory.add(made.id)
            made.config["acrUseManagedIdentityCreds"] = True
            self.open(made)
        return self.sites[name.lower()]

    def conflict_next(self, times: int = 1) -> None:
        """Refuse the next writes to sites as if another operation were in progress."""
        self._conflicts = times

    def conflict(self) -> str:
        """Return the name of the operation that a test ordered to be in progress."""
        if not self._conflicts:
            return ""
        self._conflicts -= 1
        return "Update"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no swap switch inside of the block."""
        self.pace.gate.clear()
        try:
            yield
        finally:
            self.pace.gate.set()

    @property
    def writes(self) -> list[str]:
        """Every request so far that changes something here, as `PUT sites/faq/config/appsettings`."""
        found = self._arm.server.requests("PUT|PATCH|DELETE|POST", f"/providers/{PROVIDER}/")
        paths = [
            (seen.method, seen.path.partition("?")[0].partition(f"/{PROVIDER}/")[2])
            for seen in found
        ]
        reading = (*READING, "checknameavailability")
        return [f"{method} {path}" for method, path in paths if not path.endswith(reading)]

    def problems(self) -> list[str]:
        """Return where slots failed in themselves, those that are gone included."""
        found = [text for front in self._opened for text in front.server.failures]
        return found + self._failures

    def reset(self) -> None:
        """Be empty and behave well from now on."""
        self.pace.gate.set()
        slots = [slot for site in self.sites.values() for slot in site.slots.values()]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._close, slots))
        for thread in self._threads:
            thread.join()
        # What a swap has started in the meantime.
        for slot in slots:
            slot.worker.close()
        self._threads.clear()
        self._opened.clear()
        self._failures.clear()
        self.pace.reset()
        self._conflicts = 0
        for known in (self.plans, self.sites, self.swaps, self.taken):
            known.clear()

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
        """Return a new instance of a slot with `settings`; None if it has no image."""
        if not slot.image:
            return None
        recipe = recipes.recipe(slot, settings, self.vaults)
        return Instance(self._engine, self._puller, self.pace, recipe, slot.log)

    def remove(self, slot: Slot) -> None:
        """Remove a slot; with production, the site and all of its slots."""
        site = slot.site
        gone = list(site.slots.values()) if slot.name == PRODUCTION else [slot]
        for one in gone:
            del site.slots[one.name.lower()]
            self._close(one)
            if one.managed.system:
                self.directory.remove(one.managed.system)
        if not site.slots:
            self.sites.pop(site.name.lower(), None)

    def id(self, kind: str, name: str) -> str:
        """Return the resource id of a plan or a site."""
        group = f"/subscriptions/{self._arm.subscription}/resourceGroups/{GROUP}"
        return f"{group}/providers/{PROVIDER}/{kind}/{name}"

    def new_slot(self, name: str, slot: str, plan: Plan) -> Slot:
        """Return a slot that is not known yet, nor reached."""
        site = self.sites.get(name.lower()) or Site(name, plan)
        id = self.id("sites", site.name) + (f"/slots/{slot}" if slot != PRODUCTION else "")
        made = Slot(site, slot, id)

        def instance() -> Instance | None:
            return self.instance(made, made.settings) if made.enabled else None

        made.worker = Worker(instance, self.pace, self._failures)
        made.front = Front(made, self._authority, self.directory, self.pace)
        return made

    def open(self, slot: Slot) -> None:
        """Know a slot from now on, and let it be reached."""
        slot.site.slots[slot.name.lower()] = slot
        self.sites[slot.site.name.lower()] = slot.site
        self._opened.append(slot.front)
        slot.front.server.start()

    def _close(self, slot: Slot) -> None:
        slot.front.server.stop()
        slot.worker.close()
