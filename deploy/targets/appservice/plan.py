"""The rows of a plan (change, before, after, reason), and the problems that block it."""

from __future__ import annotations

from deploy.core.entities import Image, Spec, Step
from deploy.core.errors import PlanBlocked, Problem
from deploy.targets.appservice import authentication, desired, naming, state
from deploy.targets.appservice.diff import Decision, SiteUpdate
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.state import NO_ALWAYS_ON, NO_SLOTS, ObservedState, Site


def list_steps(
    spec: Spec, image: Image, observed: ObservedState, decision: Decision
) -> tuple[Step, ...]:
    """Return the rows of a plan."""
    return (
        *(
            step
            for site_update in decision.site_updates
            for step in _site_update_steps(spec, observed, site_update)
        ),
        *(
            Step("change", f"setting {name}", "", "stays with its slot", "slots are swapped")
            for name in decision.new_sticky_names
        ),
        *_version_steps(spec, image, observed, decision),
        *(Step("note", "note", "", "", text) for text in list_notes(spec, observed, decision)),
    )


def check_blockers(spec: Spec, observed: ObservedState) -> None:
    """Raise `PlanBlocked` with all problems that prevent the plan from working."""
    problems = [
        *_check_service_plan(spec, observed),
        *(problem for site in observed.sites for problem in _check_ownership(spec, site)),
        *(problem for site in observed.sites for problem in _check_identity(spec, observed, site)),
        *(problem for site in observed.sites for problem in _check_auth_change(spec, site)),
        *(problem for site in observed.sites for problem in _check_open_access(spec, site)),
    ]
    if problems:
        raise PlanBlocked.from_problems(problems)


def list_notes(spec: Spec, observed: ObservedState, decision: Decision) -> list[str]:
    """Return notes for the user that imply no change."""
    settings = settings_of(spec)
    notes = []
    if settings.auth == "public":
        notes.append("auth: public: whoever knows the address is let in, and spends model calls")
    if settings.auth == "entra":
        notes.append(f"callers need a token for {authentication.token_audience(spec)}")
    if decision.desired.plain:
        names = ", ".join(decision.desired.plain)
        notes.append(
            f"{names}: stored as plain text in the application settings, for whoever may read them "
            "(plain_secrets); env.secret_refs avoids that"
        )
    if settings.always_on and observed.plan.tier in NO_ALWAYS_ON:
        notes.append(
            f"{observed.plan.tier} knows no always_on: the first request after a pause waits"
        )
    if None in observed.pull_permissions.values():
        notes.append("nobody here may see whether the site's identity has AcrPull")
    return notes


def _site_update_steps(spec: Spec, observed: ObservedState, site_update: SiteUpdate) -> list[Step]:
    site = next(item for item in observed.sites if item.name == site_update.site)
    resource = state.describe_site(spec, site)
    before = (
        authentication.auth_mode(site.auth, site.settings) if site.image else "nothing runs there"
    )
    steps = [
        Step("change", f"{resource}: {item.what}", item.before, item.after, "as configured")
        for item in site_update.differences
    ]
    if site_update.auth is not None:
        after = settings_of(spec).auth
        steps.append(
            Step("change", f"{resource}: auth", before, after, "before anything runs there")
        )
    if site_update.start:
        steps.append(Step("change", resource, "stopped", "running", "it is stopped"))
    return steps or [Step("keep", resource, before, before, "its configuration is as wanted")]


def _version_steps(
    spec: Spec, image: Image, observed: ObservedState, decision: Decision
) -> list[Step]:
    production = observed.production
    before = naming.format_image(production.image) or "nothing"
    if not decision.has_new_version:
        return [Step("keep", "production", before, before, "image and settings are as wanted")]
    digest_text = image.digest[7:19] if image.digest else "not pushed yet"
    after = f"{image.tag} ({digest_text})"
    location = (
        "in production" if decision.is_in_place else f"on the slot {decision.first_site} first"
    )
    steps = [
        Step("change", difference.what, difference.before, difference.after, location)
        for difference in decision.differences
    ]
    if decision.is_in_place:
        reason = "in place: a brief restart; put back if it does not become healthy"
        return [*steps, Step("change", "production", before, after, reason, implied=bool(steps))]
    slot, implied = f"slot {decision.first_site}", bool(steps)
    steps += [
        Step("remove", f"setting {name} of {slot}", "", "", "production has none; sticky keeps it")
        for name in decision.removed_slot_settings
    ]
    steps += [
        Step("remove", f"setting {name}", "", "", "once the new version serves")
        for name in decision.obsolete_settings
    ]
    if decision.is_staged:
        steps.append(Step("keep", slot, after, after, "an earlier deploy brought it there"))
    else:
        slot_before = naming.format_image(observed.slot.image) if observed.slot else ""
        reason = "warmed up and scored on its own host"
        steps.append(Step("change", slot, slot_before, after, reason, implied=True))
    reason = f"a swap; what runs now stays on {slot} for `inv rollback`"
    return [*steps, Step("change", "production", before, after, reason, implied=implied)]


def _check_service_plan(spec: Spec, observed: ObservedState) -> list[Problem]:
    location, plan = f"plan {observed.plan.name}", observed.plan
    problems = []
    if not plan.linux:
        message = "it is for Windows, and images of flows are for Linux"
        problems.append(Problem(location, message, "put the site on a plan for Linux (reserved)"))
    if settings_of(spec).slot and plan.tier in NO_SLOTS:
        message = f"slots need Standard or higher, and it is {plan.tier}"
        hint = "change its size, or leave `slot` out to deploy in place"
        problems.append(Problem(location, message, hint))
    return problems


def _check_ownership(spec: Spec, site: Site) -> list[Problem]:
    record = site.record
    if record is None or record.is_managed_by(spec):
        return []
    message = f"it runs the flow {record.flow} of {record.environment}"
    hint = "set another `app` or `slot`, or `inv destroy` that one first"
    return [Problem(state.describe_site(spec, site), message, hint)]


def _check_auth_change(spec: Spec, site: Site) -> list[Problem]:
    """Return a problem if a running site is to switch between platform and container sign-in.

    The site would be open for a moment, or reject all clients. After `inv destroy` nothing is
    running, so the change is safe.
    """
    current, desired_auth = (
        authentication.auth_mode(site.auth, site.settings),
        settings_of(spec).auth,
    )
    is_platform_auth = current.startswith("entra")
    if is_platform_auth == (desired_auth == "entra"):
        return []
    is_running = site.record is not None or (is_platform_auth and site.state != state.STOPPED)
    if not is_running:
        return []
    danger = "it would be open" if is_platform_auth else "it would let nobody in"
    message = f"it lets callers in by {current}; on the way to {desired_auth} {danger} for a while"
    hint = f"`inv destroy {spec.options}`, which stops it; then deploy"
    return [Problem(state.describe_site(spec, site), message, hint)]


def _check_open_access(spec: Spec, site: Site) -> list[Problem]:
    location, settings = state.describe_site(spec, site), settings_of(spec)
    rule = desired.find_open_rule(site.web) if settings.allow else ""
    if rule:
        message = f"its access restriction {rule} lets everybody in, whatever `allow` says"
        return [Problem(location, message, "remove it, or leave `allow` out")]
    excluded_paths = (site.auth.get("globalValidation") or {}).get("excludedPaths")
    if settings.auth == "entra" and excluded_paths:
        message = f"its authentication leaves paths out: {', '.join(map(str, excluded_paths))}"
        return [Problem(location, message, "remove excludedPaths, so that nobody comes in there")]
    return []


def _check_identity(spec: Spec, observed: ObservedState, site: Site) -> list[Problem]:
    location = state.describe_site(spec, site)
    key = "identity" if site.name == PRODUCTION else "slot_identity"
    identity = state.select_identity(spec, site)
    if identity is None:
        message = (
            f"it has {len(site.user_identities)} identities, and nobody says which of them "
            "pulls the image"
            if len(site.user_identities) > 1
            else "it has no identity that could pull the image"
        )
        if getattr(spec.place, key):
            message = f"it does not have the identity that {key} in environments.yaml names"
        hint = f"infrastructure assigns identities; `{key}` in environments.yaml names one"
        return [Problem(location, message, hint)]
    if observed.pull_permissions.get(site.name) is not False:
        return []
    message = (
        f"its identity {identity.client or identity.principal} may not pull from "
        f"{spec.place.registry}: AcrPull is missing"
    )
    return [
        Problem(location, message, "have AcrPull on the registry assigned to it; it takes minutes")
    ]
