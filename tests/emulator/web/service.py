"""The provider Microsoft.Web: who may ask for what of plans and sites, and where it is answered.

Documented: REST API of App Service (2025-05-01), "Azure built-in roles", "Check Name Availability".
Recorded (azure-mgmt-web 11.0.1): which routes the SDK asks.
"""

from __future__ import annotations

import re

from tests.emulator.arm import GROUP, ResourceManager
from tests.emulator.arm_errors import RefusedError, not_found, unauthorized
from tests.emulator.bodies import UnknownError, only, read
from tests.emulator.exchange import Exchange
from tests.emulator.identities import SUBSCRIPTION_SCOPE, Identity
from tests.emulator.web import changes, plans, routes
from tests.emulator.web.apps import PROVIDER, WebApps
from tests.emulator.web.plans import KIND as PLAN_KIND
from tests.emulator.web.slot import PRODUCTION, SITE_KIND

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
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
AVAILABILITY = {"environmentId", "isFqdn", "name", "type"}


class AppService:
    """The provider, with what there is."""

    def __init__(self, arm: ResourceManager, web: WebApps) -> None:
        self._arm = arm
        self._web = web

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
        site = self._web.sites.get(name.lower())
        known = site.slots.get(slot.lower()) if site else None
        if known:
            if (exchange.method, what) == ("PUT", ""):
                right = "slots/write" if found["slot"] else "write"
                routes.may(who, right, known.site.name, known.id)
                exchange.answer(200, changes.put(self._web, known, read(exchange), who))
            else:
                routes.Request(self._web, self._arm, exchange, who, known, version).serve(what)
            return
        kind, full = (
            (SITE_KIND, name) if slot == PRODUCTION else (f"{SITE_KIND}/slots", f"{name}/{slot}")
        )
        right = "slots/" if found["slot"] else ""
        if (exchange.method, what) == ("PUT", ""):
            routes.may(who, f"{right}write", name, self._web.id("sites", full))
            exchange.answer(200, changes.create(self._web, name, slot, read(exchange), who))
        elif (exchange.method, what) == ("DELETE", ""):
            routes.may(who, f"{right}delete", name, self._web.id("sites", full))
            exchange.answer(204)
        else:
            raise not_found(kind, full, GROUP)

    def _plan(self, exchange: Exchange, name: str, who: Identity) -> None:
        method = exchange.method
        if method not in VERBS:
            raise self._arm.unknown(exchange)
        action, id = f"{PLAN_KIND}/{VERBS[method]}", self._web.id("serverfarms", name)
        if not who.may(action, name):
            raise unauthorized(who, action, id)
        body = read(exchange) if method in ("PUT", "PATCH") else {}
        with self._web.lock:
            plan = self._web.plans.get(name.lower())
            sites = [site for site in self._web.sites.values() if site.plan is plan]
            if method == "PUT" and plan is None:
                plan = self._web.plans[name.lower()] = plans.made(id, name, body)
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
                del self._web.plans[name.lower()]
        exchange.answer(200, plan.document(len(sites)) if method != "DELETE" else b"")

    def _list(self, exchange: Exchange, rest: str, who: Identity) -> bool:
        # Documented: a list has what the caller may read, and is empty rather than refused.
        kind = rest.lower()
        if exchange.method != "GET" or kind not in ("sites", "serverfarms"):
            return False
        if kind == "sites":
            sites = [
                one for one in self._web.sites.values() if who.may(f"{SITE_KIND}/read", one.name)
            ]
            value = [site.production.document(self._web.directory.tenant) for site in sites]
        else:
            found = [
                one for one in self._web.plans.values() if who.may(f"{PLAN_KIND}/read", one.name)
            ]
            every = list(self._web.sites.values())
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
        if body.get("type") not in ("Site", SITE_KIND):
            raise UnknownError(f"checknameavailability of {body.get('type')}")
        name = str(body.get("name"))
        known = {one.lower() for one in (*self._web.taken, *self._web.sites)}
        if name.lower() not in known:
            exchange.answer(200, {"nameAvailable": True, "reason": "", "message": ""})
            return
        text = f"Hostname '{name}' already exists. Please select a different name."
        exchange.answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
