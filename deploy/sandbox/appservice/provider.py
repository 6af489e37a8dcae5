"""The provider Microsoft.Web: permissions and routing of requests about plans and sites.

Documented: REST API of App Service (2025-05-01), "Azure built-in roles", "Check Name Availability".
Recorded (azure-mgmt-web 11.0.1): the routes that the SDK uses.
"""

from __future__ import annotations

import re

from deploy.sandbox.appservice import plans, routes, site_updates
from deploy.sandbox.appservice.plans import RESOURCE_TYPE as PLAN_KIND
from deploy.sandbox.appservice.request_bodies import FIELDS
from deploy.sandbox.appservice.slot import PRODUCTION, SITE_TYPE
from deploy.sandbox.appservice.web_apps import PROVIDER, WebApps
from deploy.sandbox.arm import GROUP, ResourceManager
from deploy.sandbox.arm_errors import not_found_error, require_permission
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import SUBSCRIPTION_SCOPE, Identity
from deploy.sandbox.request_bodies import InvalidBodyError, read_json_object, reject_unknown_fields

# Used by azure-mgmt-web 11.
VERSIONS = ("2025-05-01",)
PATH = re.compile(
    rf"(?P<group>/resourceGroups/{GROUP})?/providers/{re.escape(PROVIDER)}/(?P<rest>.+)",
    re.IGNORECASE,
)
IN_SITE = re.compile(
    r"sites/(?P<site>[^/]+)(?:/slots/(?P<slot>[^/]+))?(?P<subpath>/.*)?", re.IGNORECASE
)
PLAN = re.compile(r"serverfarms/(?P<name>[^/]+)", re.IGNORECASE)
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


class AppService:
    """The provider, with the plans and sites of `web`."""

    def __init__(self, arm: ResourceManager, web: WebApps) -> None:
        self._arm = arm
        self._web = web

    def can_serve(self, path: str) -> bool:
        """Return whether `path` belongs to this provider."""
        return bool(PATH.fullmatch(path))

    def serve(self, exchange: Exchange, path: str, who: Identity) -> None:
        """Answer the request of the identity `who`. Raise `ArmError` or `InvalidBodyError`."""
        version = self._arm.version(exchange, *VERSIONS)
        match = PATH.fullmatch(path)
        assert match, path
        if match["group"]:
            self._in_group(exchange, match["rest"], who, version)
        elif match["rest"].lower() == "checknameavailability" and exchange.method == "POST":
            self._check_name_availability(exchange, who)
        elif not self._list(exchange, match["rest"], who):
            raise self._arm.record_unknown_request(exchange)

    def _in_group(self, exchange: Exchange, rest: str, who: Identity, version: str) -> None:
        site, plan = IN_SITE.fullmatch(rest), PLAN.fullmatch(rest)
        if site:
            self._site(exchange, site, who, version)
        elif plan:
            self._plan(exchange, plan["name"], who)
        elif not self._list(exchange, rest, who):
            raise self._arm.record_unknown_request(exchange)

    def _site(self, exchange: Exchange, match: re.Match[str], who: Identity, version: str) -> None:
        name, slot, subpath = match["site"], match["slot"] or PRODUCTION, match["subpath"] or ""
        site = self._web.sites.get(name.lower())
        existing = site.slots.get(slot.lower()) if site else None
        is_put = (exchange.method, subpath) == ("PUT", "")
        if existing and not is_put:
            request = routes.Request(self._web, exchange, who, existing, version)
            request.serve(subpath)
            return
        resource_type, full_name = (
            (SITE_TYPE, name) if slot == PRODUCTION else (f"{SITE_TYPE}/slots", f"{name}/{slot}")
        )
        permission = f"{SITE_TYPE}/slots" if match["slot"] else SITE_TYPE
        id = existing.id if existing else self._arm.build_id(SITE_TYPE, full_name)
        if is_put:
            require_permission(who, f"{permission}/write", name, id)
            body = read_json_object(exchange)
            if existing:
                document = site_updates.replace_slot(self._web, existing, body, who)
            else:
                document = site_updates.create_slot(self._web, name, slot, body, who)
            exchange.answer(200, document)
        elif (exchange.method, subpath) == ("DELETE", ""):
            require_permission(who, f"{permission}/delete", name, id)
            exchange.answer(204)
        else:
            raise not_found_error(resource_type, full_name, GROUP)

    def _plan(self, exchange: Exchange, name: str, who: Identity) -> None:
        method = exchange.method
        if method not in VERBS:
            raise self._arm.record_unknown_request(exchange)
        id = self._arm.build_id(PLAN_KIND, name)
        require_permission(who, f"{PLAN_KIND}/{VERBS[method]}", name, id)
        body = read_json_object(exchange) if method in ("PUT", "PATCH") else {}
        with self._web.lock:
            plan = self._web.plans.get(name.lower())
            sites = [site for site in self._web.sites.values() if site.plan is plan]
            if method == "PUT" and plan is None:
                plan = self._web.plans[name.lower()] = plans.create_plan(id, name, body)
            elif plan is None:
                if method == "DELETE":
                    exchange.answer(204)
                    return
                raise not_found_error(PLAN_KIND, name, GROUP)
            elif method in ("PUT", "PATCH"):
                body.pop("location", None)
                plans.update_plan(
                    plan, body, max((len(site.slots) - 1 for site in sites), default=0)
                )
            elif method == "DELETE":
                plans.check_unused(plan, len(sites))
                del self._web.plans[name.lower()]
        exchange.answer(200, plan.document(len(sites)) if method != "DELETE" else b"")

    def _list(self, exchange: Exchange, rest: str, who: Identity) -> bool:
        # Documented: a list has what the client may read; it is empty rather than rejected.
        kind = rest.lower()
        if exchange.method != "GET" or kind not in ("sites", "serverfarms"):
            return False
        if kind == "sites":
            sites = [
                resource
                for resource in self._web.sites.values()
                if who.has_permission(f"{SITE_TYPE}/read", resource.name)
            ]
            value = [site.production.document(self._web.directory.tenant) for site in sites]
        else:
            plans = [
                resource
                for resource in self._web.plans.values()
                if who.has_permission(f"{PLAN_KIND}/read", resource.name)
            ]
            all_sites = list(self._web.sites.values())
            value = [
                plan.document(len([site for site in all_sites if site.plan is plan]))
                for plan in plans
            ]
        exchange.answer(200, {"value": value})
        return True

    def _check_name_availability(self, exchange: Exchange, who: Identity) -> None:
        action = f"{PROVIDER}/checknameavailability/read"
        subscription = f"/subscriptions/{self._arm.subscription}"
        require_permission(who, action, SUBSCRIPTION_SCOPE, subscription)
        body = read_json_object(exchange)
        reject_unknown_fields(body, FIELDS["name_availability"], "checknameavailability")
        if body.get("type") not in ("Site", SITE_TYPE):
            raise InvalidBodyError(f"checknameavailability of {body.get('type')}")
        name = str(body.get("name"))
        used_names = {used_name.lower() for used_name in (*self._web.taken, *self._web.sites)}
        if name.lower() not in used_names:
            exchange.answer(200, {"nameAvailable": True, "reason": "", "message": ""})
            return
        text = f"Hostname '{name}' already exists. Please select a different name."
        exchange.answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
