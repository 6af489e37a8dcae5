"""What makes and changes sites and slots.

Documented: REST API of App Service (2025-05-01; what a request leaves out stays as it is), "Set up staging
environments" (slots of each tier), "Azure built-in roles" (Website Contributor may join a plan where it
has the role on that plan, too). Assumed: whoever names a plan in a request needs the right to join it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.emulator import managed_identities
from tests.emulator.arm import GROUP, LOCATION
from tests.emulator.arm_errors import RefusedError, not_found
from tests.emulator.bodies import UnknownError, only
from tests.emulator.identities import Identity
from tests.emulator.managed_identities import MissingError
from tests.emulator.web import bodies
from tests.emulator.web.errors import bad_request, busy, invalid, name_taken, no_slots
from tests.emulator.web.plans import KIND as PLAN_KIND
from tests.emulator.web.plans import Plan
from tests.emulator.web.slot import PRODUCTION, SITE_KIND, Site, Slot

if TYPE_CHECKING:
    from tests.emulator.web.apps import WebApps


def create(
    web: WebApps, name: str, slot: str, body: dict[str, Any], who: Identity
) -> dict[str, Any]:
    """Make a site, or a slot of one; return its document. Raises `RefusedError`, `UnknownError`."""
    _check(body)
    bodies.check_name(name)
    with web.lock:
        if slot == PRODUCTION:
            plan = _plan_of_new(web, name, body, who)
        else:
            plan = _plan_of_slot(web, name)
        made = web.new_slot(name, slot, plan)
        try:
            change(web, made, body, who)
        except BaseException:
            made.front.server.stop()
            raise
        web.open(made)
    return made.document(web.directory.tenant)


def put(web: WebApps, slot: Slot, body: dict[str, Any], who: Identity) -> dict[str, Any]:
    """Replace a slot; return its document. Raises `RefusedError`, `UnknownError`."""
    _check(body)
    with slot.site.lock:
        check_idle(web, slot.site)
        change(web, slot, body, who)
    return slot.document(web.directory.tenant)


def check_idle(web: WebApps, site: Site) -> None:
    """Raise `RefusedError` where another operation is in progress on a site."""
    if operation := site.operation or web.conflict():
        raise busy(operation)


def change(web: WebApps, slot: Slot, body: dict[str, Any], who: Identity) -> None:
    """Change a slot as far as the body says. Raises `RefusedError`, `UnknownError`."""
    properties = dict(body.get("properties") or {})
    only(properties, bodies.PROPERTIES, "a site's properties")
    given, config = properties.pop("serverFarmId", None), properties.pop("siteConfig", None)
    plan = _joined(web, given, who) if given else slot.site.plan
    if config is not None:
        configure(slot, config, plan)
    slot.site.plan = plan
    if "identity" in body:
        _identify(web, slot, body["identity"] or {"type": "None"})
    if body.get("tags") is not None:
        slot.tags = dict(body["tags"])
    slot.properties |= {name: value for name, value in properties.items() if value is not None}
    if config is not None:
        slot.worker.restart()


def configure(slot: Slot, given: dict[str, Any], plan: Plan) -> None:
    """Change the configuration of a slot as far as it is given. Raises `WebError`, `UnknownError`."""
    bodies.check_config(given)
    config = {**copy.deepcopy(slot.config), **{k: v for k, v in given.items() if v is not None}}
    if config["linuxFxVersion"] and not (plan.reserved and bodies.image(config)):
        raise invalid("LinuxFxVersion")
    if (settings := config.pop("appSettings", None)) is not None:
        slot.settings = bodies.pairs(settings)
    config.pop("connectionStrings", None)
    slot.config = config


def _identify(web: WebApps, slot: Slot, given: dict[str, Any]) -> None:
    kinds = [] if given.get("type") == "None" else managed_identities.kinds(str(given.get("type")))
    managed = slot.managed
    try:
        assigned = (
            managed_identities.assigned(web.directory, given) if "UserAssigned" in kinds else {}
        )
    except MissingError as error:
        raise bad_request(f"The identity {error} does not exist.") from None
    if "SystemAssigned" in kinds:
        managed.system = managed.system or web.directory.add(slot.id)
    elif managed.system:
        web.directory.remove(managed.system)
        managed.system = None
    managed.assigned = assigned


def _check(body: dict[str, Any]) -> None:
    only(body, bodies.SITE, "a site")
    if body.get("location") != LOCATION:
        raise UnknownError(f"a site in {body.get('location')}")


def _plan_of_new(web: WebApps, name: str, body: dict[str, Any], who: Identity) -> Plan:
    if name.lower() in {taken.lower() for taken in web.taken}:
        raise name_taken(name)
    given = (body.get("properties") or {}).get("serverFarmId")
    if not given:
        raise UnknownError("a site without serverFarmId")
    return _joined(web, given, who)


def _plan_of_slot(web: WebApps, name: str) -> Plan:
    site = web.sites.get(name.lower())
    if site is None:
        raise not_found(SITE_KIND, name, GROUP)
    check_idle(web, site)
    if len(site.slots) > site.plan.slots:
        raise no_slots(site.plan.tier)
    return site.plan


def _joined(web: WebApps, id: str, who: Identity) -> Plan:
    plan = next((one for one in web.plans.values() if one.id.lower() == id.lower()), None)
    if plan is None:
        raise not_found(PLAN_KIND, id.rpartition("/")[2], GROUP)
    action = f"{PLAN_KIND}/join/action"
    if not who.may(action, plan.name):
        text = (
            f"The client '{who.client_id}' with object id '{who.object_id}' has permission to "
            f"perform action '{SITE_KIND}/write' on the site; however, it does not have permission to "
            f"perform action '{action}' on the linked scope(s) '{plan.id}' or the linked scope(s) "
            "are invalid."
        )
        raise RefusedError(403, "LinkedAuthorizationFailed", text)
    return plan
