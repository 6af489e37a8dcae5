"""The provider Microsoft.Web: plans, sites and slots, and the knobs that a test turns.

Documented: REST API of App Service (2025-05-01), "Azure built-in roles" (Website Contributor may join a
plan where it has the role on that plan, too), "Check Name Availability". Recorded (azure-mgmt-web 11.0.1):
which routes the SDK asks. Assumed: whoever names a plan in a request needs the right to join it.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.emulator.arm import GROUP, LOCATION, ResourceManager
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.bodies import UnknownError, only, read
from tests.emulator.certificates import Authority
from tests.emulator.engine import Engine
from tests.emulator.exchange import Exchange
from tests.emulator.identities import SUBSCRIPTION_SCOPE, Directory, Identity
from tests.emulator.pace import Pace
from tests.emulator.pull import Puller
from tests.emulator.vault import Vault
from tests.emulator.web import bodies, plans, recipes, routes
from tests.emulator.web.errors import name_taken, no_slots
from tests.emulator.web.front import Front
from tests.emulator.web.instance import Instance
from tests.emulator.web.plans import Plan
from tests.emulator.web.routes import KIND
from tests.emulator.web.slot import PRODUCTION, Site, Slot
from tests.emulator.web.swap import Swap
from tests.emulator.web.worker import Worker

PROVIDER = "Microsoft.Web"
# Of azure-mgmt-web 11.
VERSIONS = ("2025-05-01",)
PATH = re.compile(
    rf"(?P<group>/resourceGroups/{GROUP})?/providers/{re.escape(PROVIDER)}/(?P<rest>.+)",
    re.IGNORECASE,
)
IN_SITE = re.compile(
    r"sites/(?P<site>[^/]+)(?:/slots/(?P<slot>[^/]+))?(?P<what>/.*)?", re.IGNORECASE
)
PLAN = re.compile(r"serverfarms/(?P<name>[^/]+)", re.IGNORECASE)
PLAN_KIND = f"{PROVIDER}/serverfarms"
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
AVAILABILITY = {"environmentId", "isFqdn", "name", "type"}


class WebApps:
    """The provider. `taken` are names of sites that somebody else in the world has."""

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
        plan = Plan(self._id("serverfarms", name), name, size, reserved)
        self.plans[name.lower()] = plan
        return plan

    def add_site(self, name: str, plan: Plan, *slots: str) -> Site:
        """Make a site with slots, as infrastructure does: each has an identity, and runs nothing yet."""
        for slot in (PRODUCTION, *slots):
            made = self._slot(name, slot, plan)
            made.managed.system = self.directory.add(made.id)
            made.config["acrUseManagedIdentityCreds"] = True
            self._open(made)
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
        reading = (*routes.READING, "checknameavailability")
        return [f"{method} {path}" for method, path in paths if not path.endswith(reading)]

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
        self.pace.__init__()  # type: ignore[misc]  # workers keep this very object
        self._conflicts = 0
        for known in (self.plans, self.sites, self.swaps, self.taken):
            known.clear()

    def serves(self, path: str) -> bool:
        """Whether `path` is of this provider."""
        return bool(PATH.fullmatch(path))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer. Raises `RefusedError`."""
        version = self._arm.version(exchange, *VERSIONS)
        found = PATH.fullmatch(path)
        assert found, path
        try:
            if found["group"]:
                self._in_group(exchange, found["rest"], who, version)
            elif found["rest"].lower() == "checknameavailability" and exchange.method == "POST":
                self._available(exchange, who)
            elif not self._list(exchange, found["rest"], who):
                raise self._arm.unknown(exchange)
        except UnknownError as error:
            text = f"Web: {exchange.method} {exchange.path}: {error}"
            self._arm.server.unexpected.append(text)
            raise RefusedError(400, "BadRequest", str(error)) from None

    def joined(self, id: str, who: Identity) -> Plan:
        """Return the plan that a site is to run on. Raises `RefusedError`."""
        plan = next((one for one in self.plans.values() if one.id.lower() == id.lower()), None)
        if plan is None:
            raise not_found(PLAN_KIND, id.rpartition("/")[2], GROUP)
        action = f"{PLAN_KIND}/join/action"
        if not who.may(action, plan.name):
            text = (
                f"The client '{who.client_id}' with object id '{who.object_id}' has permission to "
                f"perform action '{KIND}/write' on the site; however, it does not have permission to "
                f"perform action '{action}' on the linked scope(s) '{plan.id}' or the linked scope(s) "
                "are invalid."
            )
            raise RefusedError(403, "LinkedAuthorizationFailed", text)
        return plan

    def begin(self, swap: Swap) -> Swap:
        """Run a swap in the background."""

        def work() -> None:
            swap.run(self.instance, self.pace)
            if swap.failure:
                self._arm.server.failures.append(swap.failure)

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

    def _id(self, kind: str, name: str) -> str:
        group = f"/subscriptions/{self._arm.subscription}/resourceGroups/{GROUP}"
        return f"{group}/providers/{PROVIDER}/{kind}/{name}"

    def _slot(self, name: str, slot: str, plan: Plan) -> Slot:
        """Return a slot that is not known yet, nor reached."""
        site = self.sites.get(name.lower()) or Site(name, plan)
        id = self._id("sites", site.name) + (f"/slots/{slot}" if slot != PRODUCTION else "")
        made = Slot(site, slot, id)

        def instance() -> Instance | None:
            return self.instance(made, made.settings) if made.enabled else None

        made.worker = Worker(instance, self.pace)
        made.front = Front(made, self._authority, self.directory, self.pace)
        return made

    def _open(self, slot: Slot) -> None:
        slot.site.slots[slot.name.lower()] = slot
        self.sites[slot.site.name.lower()] = slot.site
        slot.front.server.start()

    def _close(self, slot: Slot) -> None:
        slot.front.server.stop()
        slot.worker.close()
        # Nobody looks at it any more.
        self._arm.server.failures += slot.front.server.failures

    def _in_group(self, exchange: Exchange, rest: str, who: Identity, version: str) -> None:
        site, plan = IN_SITE.fullmatch(rest), PLAN.fullmatch(rest)
        if site:
            self._site(exchange, site, who, version)
        elif plan:
            self._plan(exchange, plan["name"], who)
        elif not self._list(exchange, rest, who):
            raise self._arm.unknown(exchange)

    def _site(self, exchange: Exchange, found: re.Match[str], who: Identity, version: str) -> None:
        name, slot, what = found["site"], found["slot"] or PRODUCTION, found["what"] or ""
        site = self.sites.get(name.lower())
        known = site.slots.get(slot.lower()) if site else None
        if known:
            if (exchange.method, what) == ("PUT", ""):
                self._put(exchange, name, known, who)
            else:
                routes.Request(self, self._arm, exchange, who, known, version).serve(what)
            return
        kind, full = (KIND, name) if slot == PRODUCTION else (f"{KIND}/slots", f"{name}/{slot}")
        right = "slots/" if found["slot"] else ""
        if (exchange.method, what) == ("PUT", ""):
            routes.may(who, f"{right}write", name, self._id("sites", full))
            self._create(exchange, name, slot, who)
        elif (exchange.method, what) == ("DELETE", ""):
            routes.may(who, f"{right}delete", name, self._id("sites", full))
            exchange.answer(204)
        else:
            raise not_found(kind, full, GROUP)

    def _put(self, exchange: Exchange, name: str, slot: Slot, who: Identity) -> None:
        right = "write" if slot.name == PRODUCTION else "slots/write"
        routes.may(who, right, slot.site.name, slot.id)
        body = read(exchange)
        with slot.site.lock:
            routes.check_idle(self, slot.site)
            self._check(body)
            routes.change(self, slot, body, who)
        exchange.answer(200, slot.document(self.directory.tenant))

    def _create(self, exchange: Exchange, name: str, slot: str, who: Identity) -> None:
        body = read(exchange)
        self._check(body)
        bodies.check_name(name)
        given = (body.get("properties") or {}).get("serverFarmId")
        with self.lock:
            site = self.sites.get(name.lower())
            if slot == PRODUCTION:
                if name.lower() in {taken.lower() for taken in self.taken}:
                    raise name_taken(name)
                if not given:
                    raise UnknownError("a site without serverFarmId")
                plan = self.joined(given, who)
            elif site is None:
                raise not_found(KIND, name, GROUP)
            else:
                plan = site.plan
                routes.check_idle(self, site)
                if len(site.slots) > plan.slots:
                    raise no_slots(plan.tier)
            made = self._slot(name, slot, plan)
            try:
                routes.change(self, made, body, who)
            except BaseException:
                made.front.server.stop()
                raise
            self._open(made)
        exchange.answer(200, made.document(self.directory.tenant))

    def _check(self, body: dict[str, Any]) -> None:
        only(body, bodies.SITE, "a site")
        if body.get("location") != LOCATION:
            raise UnknownError(f"a site in {body.get('location')}")

    def _plan(self, exchange: Exchange, name: str, who: Identity) -> None:
        method = exchange.method
        if method not in VERBS:
            raise self._arm.unknown(exchange)
        action, id = f"{PLAN_KIND}/{VERBS[method]}", self._id("serverfarms", name)
        if not who.may(action, name):
            raise unauthorized(who, action, id)
        body = read(exchange) if method in ("PUT", "PATCH") else {}
        with self.lock:
            plan = self.plans.get(name.lower())
            sites = [site for site in self.sites.values() if site.plan is plan]
            if method == "PUT" and plan is None:
                plan = self.plans[name.lower()] = plans.made(id, name, body)
            elif plan is None:
                if method == "DELETE":
                    exchange.answer(204)
                    return
                raise not_found(PLAN_KIND, name, GROUP)
            elif method in ("PUT", "PATCH"):
                body.pop("location", None)
                plans.change(plan, body, max((len(site.slots) - 1 for site in sites), default=0))
            elif method == "DELETE":
                plans.check_unused(plan, len(sites))
                del self.plans[name.lower()]
        exchange.answer(200, plan.document(len(sites)) if method != "DELETE" else b"")

    def _list(self, exchange: Exchange, rest: str, who: Identity) -> bool:
        # Documented: a list has what the caller may read, and is empty rather than refused.
        kind = rest.lower()
        if exchange.method != "GET" or kind not in ("sites", "serverfarms"):
            return False
        if kind == "sites":
            sites = [one for one in self.sites.values() if who.may(f"{KIND}/read", one.name)]
            value = [site.production.document(self.directory.tenant) for site in sites]
        else:
            found = [one for one in self.plans.values() if who.may(f"{PLAN_KIND}/read", one.name)]
            every = list(self.sites.values())
            value = [
                plan.document(len([site for site in every if site.plan is plan])) for plan in found
            ]
        exchange.answer(200, {"value": value})
        return True

    def _available(self, exchange: Exchange, who: Identity) -> None:
        action = f"{PROVIDER}/checknameavailability/read"
        if not who.may(action, SUBSCRIPTION_SCOPE):
            raise unauthorized(who, action, f"/subscriptions/{self._arm.subscription}")
        body = read(exchange)
        only(body, AVAILABILITY, "checknameavailability")
        if body.get("type") not in ("Site", KIND):
            raise UnknownError(f"checknameavailability of {body.get('type')}")
        name = str(body.get("name"))
        known = {one.lower() for one in (*self.taken, *self.sites)}
        if name.lower() not in known:
            exchange.answer(200, {"nameAvailable": True, "reason": "", "message": ""})
            return
        text = f"Hostname '{name}' already exists. Please select a different name."
        exchange.answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
