"""The plan for people: a row for each change with before, after and why; and what cannot work."""

from __future__ import annotations

from deploy.errors import Problem, Refusal
from deploy.model import Image, Spec, Step
from deploy.targets.appservice import access, naming, state, wanted
from deploy.targets.appservice.decide import Decision, Fix
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.state import NO_ALWAYS_ON, NO_SLOTS, Site, World


def steps(spec: Spec, image: Image, world: World, decision: Decision) -> tuple[Step, ...]:
    """Return the rows of a plan."""
    return (
        *(row for fix in decision.fixes for row in _fix(spec, world, fix)),
        *(
            Step("change", f"setting {name}", "", "stays with its slot", "slots are swapped")
            for name in decision.sticky
        ),
        *_content(spec, image, world, decision),
        *(Step("note", "note", "", "", text) for text in notes(spec, world, decision)),
    )


def refuse(spec: Spec, world: World) -> None:
    """Raise `Refusal` with every reason why the plan cannot work."""
    problems = [
        *_plan(spec, world),
        *(problem for site in world.sites for problem in _somebody_elses(spec, site)),
        *(problem for site in world.sites for problem in _identity(spec, world, site)),
        *(problem for site in world.sites for problem in _locks(spec, site)),
        *(problem for site in world.sites for problem in _opened(spec, site)),
    ]
    if problems:
        raise Refusal.of(problems)


def notes(spec: Spec, world: World, decision: Decision) -> list[str]:
    """Return what one should know, and that changes nothing."""
    settings = settings_of(spec)
    found = []
    if settings.auth == "public":
        found.append("auth: public: whoever knows the address is let in, and spends model calls")
    if settings.auth == "entra":
        found.append(f"callers need a token for {access.audience(spec)}")
    if decision.wanted.plain:
        names = ", ".join(decision.wanted.plain)
        found.append(
            f"{names}: stored as plain text in the application settings, for whoever may read them "
            "(plain_secrets); env.secret_refs avoids that"
        )
    if settings.always_on and world.plan.tier in NO_ALWAYS_ON:
        found.append(f"{world.plan.tier} knows no always_on: the first request after a pause waits")
    if None in world.pullers.values():
        found.append("nobody here may see whether the site's identity has AcrPull")
    return found


def _fix(spec: Spec, world: World, fix: Fix) -> list[Step]:
    site = next(one for one in world.sites if one.name == fix.site)
    what = state.where(spec, site)
    before = access.shown(site.auth, site.settings) if site.image else "nothing runs there"
    found = [
        Step("change", f"{what}: {one.what}", one.before, one.after, "as configured")
        for one in fix.differences
    ]
    if fix.auth is not None:
        after = settings_of(spec).auth
        found.append(Step("change", f"{what}: auth", before, after, "before anything runs there"))
    if fix.start:
        found.append(Step("change", what, "stopped", "running", "it is stopped"))
    return found or [Step("keep", what, before, before, "its configuration is as wanted")]


def _content(spec: Spec, image: Image, world: World, decision: Decision) -> list[Step]:
    production = world.production
    before = naming.shown(production.image) or "nothing"
    if not decision.deploys:
        return [Step("keep", "production", before, before, "image and settings are as wanted")]
    pushed = image.digest[7:19] if image.digest else "not pushed yet"
    after = f"{image.tag} ({pushed})"
    where = "in production" if decision.in_place else f"on the slot {decision.goes} first"
    found = [Step("change", one.what, one.before, one.after, where) for one in decision.differences]
    if decision.in_place:
        why = "in place: a brief restart; put back if it does not become healthy"
        return [*found, Step("change", "production", before, after, why, means=bool(found))]
    slot, means = f"slot {decision.goes}", bool(found)
    found += [
        Step("remove", f"setting {name} of {slot}", "", "", "production has none; sticky keeps it")
        for name in decision.dropped
    ]
    found += [
        Step("remove", f"setting {name}", "", "", "once the new version serves")
        for name in decision.leaving
    ]
    if decision.staged:
        found.append(Step("keep", slot, after, after, "an earlier deploy brought it there"))
    else:
        was = naming.shown(world.slot.image) if world.slot else ""
        why = "warmed up and scored on its own host"
        found.append(Step("change", slot, was, after, why, means=True))
    why = f"a swap; what runs now stays on {slot} for `inv rollback`"
    return [*found, Step("change", "production", before, after, why, means=means)]


def _plan(spec: Spec, world: World) -> list[Problem]:
    where, plan = f"plan {world.plan.name}", world.plan
    problems = []
    if not plan.linux:
        what = "it is for Windows, and images of flows are for Linux"
        problems.append(Problem(where, what, "put the site on a plan for Linux (reserved)"))
    if settings_of(spec).slot and plan.tier in NO_SLOTS:
        what = f"slots need Standard or higher, and it is {plan.tier}"
        hint = "change its size, or leave `slot` out to deploy in place"
        problems.append(Problem(where, what, hint))
    return problems


def _somebody_elses(spec: Spec, site: Site) -> list[Problem]:
    found = site.record
    if found is None or found.of(spec):
        return []
    what = f"it runs the flow {found.flow} of {found.environment}"
    hint = "set another `app` or `slot`, or `inv destroy` that one first"
    return [Problem(state.where(spec, site), what, hint)]


def _locks(spec: Spec, site: Site) -> list[Problem]:
    """The lock of the platform and that of the container are not changed while a site runs.

    It would be open for a moment, or let nobody in. What was destroyed runs nothing of ours.
    """
    before, asked = access.shown(site.auth, site.settings), settings_of(spec).auth
    by_platform = before.startswith("entra")
    if by_platform == (asked == "entra"):
        return []
    runs = site.record is not None or (by_platform and site.state != state.STOPPED)
    if not runs:
        return []
    danger = "it would be open" if by_platform else "it would let nobody in"
    what = f"it lets callers in by {before}; on the way to {asked} {danger} for a while"
    hint = f"`inv destroy {spec.options}`, which stops it; then deploy"
    return [Problem(state.where(spec, site), what, hint)]


def _opened(spec: Spec, site: Site) -> list[Problem]:
    where, settings = state.where(spec, site), settings_of(spec)
    rule = wanted.opened(site.web) if settings.allow else ""
    if rule:
        what = f"its access restriction {rule} lets everybody in, whatever `allow` says"
        return [Problem(where, what, "remove it, or leave `allow` out")]
    excluded = (site.auth.get("globalValidation") or {}).get("excludedPaths")
    if settings.auth == "entra" and excluded:
        what = f"its authentication leaves paths out: {', '.join(map(str, excluded))}"
        return [Problem(where, what, "remove excludedPaths, so that nobody comes in there")]
    return []


def _identity(spec: Spec, world: World, site: Site) -> list[Problem]:
    where = state.where(spec, site)
    key = "identity" if site.name == PRODUCTION else "slot_identity"
    identity = state.identity_of(spec, site)
    if identity is None:
        what = (
            f"it has {len(site.assigned)} identities, and nobody says which of them pulls the image"
            if len(site.assigned) > 1
            else "it has no identity that could pull the image"
        )
        if getattr(spec.place, key):
            what = f"it does not have the identity that {key} in environments.yaml names"
        hint = f"infrastructure assigns identities; `{key}` in environments.yaml names one"
        return [Problem(where, what, hint)]
    if world.pullers.get(site.name) is not False:
        return []
    what = (
        f"its identity {identity.client or identity.principal} may not pull from "
        f"{spec.place.registry}: AcrPull is missing"
    )
    return [Problem(where, what, "have AcrPull on the registry assigned to it; it takes minutes")]
