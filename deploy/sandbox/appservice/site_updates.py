"""Create and change sites and slots.

Documented: REST API of App Service (2025-05-01; fields that a request omits stay as they are), "Set
up staging environments" (slots of each tier), "Azure built-in roles" (Website Contributor may join
a plan only if it has the role on that plan, too). Assumed: a request that names a plan needs the
permission to join it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from deploy.sandbox import managed_identities
from deploy.sandbox.appservice import request_bodies
from deploy.sandbox.appservice.errors import (
    bad_request,
    conflict_error,
    invalid_parameter_error,
    name_taken_error,
    slot_limit_error,
)
from deploy.sandbox.appservice.plans import RESOURCE_TYPE as PLAN_KIND
from deploy.sandbox.appservice.plans import Plan
from deploy.sandbox.appservice.slot import PRODUCTION, SITE_TYPE, Site, Slot
from deploy.sandbox.arm import GROUP, LOCATION
from deploy.sandbox.arm_errors import linked_authorization_error, not_found_error
from deploy.sandbox.identities import Identity
from deploy.sandbox.managed_identities import IdentityNotFoundError
from deploy.sandbox.request_bodies import InvalidBodyError, reject_unknown_fields

if TYPE_CHECKING:
    from deploy.sandbox.appservice.web_apps import WebApps


def create_slot(
    web: WebApps, name: str, slot: str, body: dict[str, Any], who: Identity
) -> dict[str, Any]:
    """Create a site or a slot; return its document.

    Raise `ArmError` or `InvalidBodyError`.
    """
    _check_site(body)
    request_bodies.check_name(name)
    with web.lock:
        if slot == PRODUCTION:
            plan = _plan_for_site(web, name, body, who)
        else:
            plan = _plan_for_slot(web, name)
        created = web.new_slot(name, slot, plan)
        try:
            update_slot(web, created, body, who)
        except BaseException:
            created.front.server.stop()
            raise
        web.open(created)
    return created.document(web.directory.tenant)


def replace_slot(web: WebApps, slot: Slot, body: dict[str, Any], who: Identity) -> dict[str, Any]:
    """Replace a slot; return its document. Raise `ArmError` or `InvalidBodyError`."""
    _check_site(body)
    with slot.site.lock:
        check_idle(web, slot.site)
        update_slot(web, slot, body, who)
    return slot.document(web.directory.tenant)


def check_idle(web: WebApps, site: Site) -> None:
    """Raise `ArmError` if another operation is in progress on a site."""
    if operation := site.operation or web.take_conflict():
        raise conflict_error(operation)


def update_slot(web: WebApps, slot: Slot, body: dict[str, Any], who: Identity) -> None:
    """Change the fields of a slot that the body has. Raise `ArmError` or `InvalidBodyError`."""
    properties = dict(body.get("properties") or {})
    reject_unknown_fields(
        properties, request_bodies.FIELDS["site_properties"], "a site's properties"
    )
    plan_id, config = properties.pop("serverFarmId", None), properties.pop("siteConfig", None)
    plan = _join_plan(web, plan_id, who, slot.id) if plan_id else slot.site.plan
    if config is not None:
        update_config(slot, config, plan)
    slot.site.plan = plan
    if "identity" in body:
        _update_identity(web, slot, body["identity"] or {"type": "None"})
    if body.get("tags") is not None:
        slot.tags = dict(body["tags"])
    slot.properties |= {name: value for name, value in properties.items() if value is not None}
    if config is not None:
        slot.worker.restart()


def update_config(slot: Slot, changes: dict[str, Any], plan: Plan) -> None:
    """Change the configuration of a slot, in the fields that are given.

    Raise `AppServiceError` or `InvalidBodyError`.
    """
    request_bodies.check_config(changes)
    config = {**copy.deepcopy(slot.config), **{k: v for k, v in changes.items() if v is not None}}
    if config["linuxFxVersion"] and not (plan.reserved and request_bodies.parse_image(config)):
        raise invalid_parameter_error("LinuxFxVersion")
    if (settings := config.pop("appSettings", None)) is not None:
        slot.settings = request_bodies.parse_setting_list(settings)
    config.pop("connectionStrings", None)
    slot.config = config


def _update_identity(web: WebApps, slot: Slot, body: dict[str, Any]) -> None:
    identity_types = (
        []
        if body.get("type") == "None"
        else managed_identities.parse_identity_types(str(body.get("type")))
    )
    managed = slot.managed
    try:
        assigned = (
            managed_identities.resolve_assigned_identities(web.directory, body)
            if "UserAssigned" in identity_types
            else {}
        )
    except IdentityNotFoundError as error:
        raise bad_request(f"The identity {error} does not exist.") from None
    if "SystemAssigned" in identity_types:
        managed.system = managed.system or web.directory.add(slot.id)
    elif managed.system:
        web.directory.remove(managed.system)
        managed.system = None
    managed.assigned = assigned


def _check_site(body: dict[str, Any]) -> None:
    reject_unknown_fields(body, request_bodies.FIELDS["site"], "a site")
    if body.get("location") != LOCATION:
        raise InvalidBodyError(f"a site in {body.get('location')}")


def _plan_for_site(web: WebApps, name: str, body: dict[str, Any], who: Identity) -> Plan:
    if name.lower() in {taken.lower() for taken in web.taken}:
        raise name_taken_error(name)
    plan_id = (body.get("properties") or {}).get("serverFarmId")
    if not plan_id:
        raise InvalidBodyError("a site without serverFarmId")
    return _join_plan(web, plan_id, who, web.arm.build_id(SITE_TYPE, name))


def _plan_for_slot(web: WebApps, name: str) -> Plan:
    site = web.sites.get(name.lower())
    if site is None:
        raise not_found_error(SITE_TYPE, name, GROUP)
    check_idle(web, site)
    if len(site.slots) > site.plan.slots:
        raise slot_limit_error(site.plan.tier)
    return site.plan


def _join_plan(web: WebApps, id: str, who: Identity, site_id: str) -> Plan:
    plan = next(
        (candidate for candidate in web.plans.values() if candidate.id.lower() == id.lower()), None
    )
    if plan is None:
        raise not_found_error(PLAN_KIND, id.rpartition("/")[2], GROUP)
    action = f"{PLAN_KIND}/join/action"
    if not who.has_permission(action, plan.name):
        raise linked_authorization_error(who, f"{SITE_TYPE}/write", site_id, action, plan.id)
    return plan
