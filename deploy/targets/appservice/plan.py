"""The rows of a plan: change, before, after, reason."""

from __future__ import annotations

from deploy.azure import preflight, pull_permission
from deploy.core.entities import Image, Step
from deploy.targets.appservice import authentication, naming, state
from deploy.targets.appservice.diff import Decision, SiteUpdate
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import NO_ALWAYS_ON, ObservedState


def list_steps(
    spec: SiteSpec, image: Image, observed: ObservedState, decision: Decision
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


def list_notes(spec: SiteSpec, observed: ObservedState, decision: Decision) -> list[str]:
    """Return notes for the user that imply no change."""
    settings = spec.settings
    notes = []
    if settings.auth == "public":
        notes.append("auth: public: every client that knows the URL can use it, and its models")
    if settings.auth == "entra":
        notes.append(f"clients need a token for {authentication.token_audience(spec)}")
    if decision.desired.plain:
        notes.append(
            preflight.describe_plain_secrets(decision.desired.plain, "the application settings")
        )
    if settings.always_on and observed.plan.tier in NO_ALWAYS_ON:
        notes.append(
            f"always_on has no effect in the tier {observed.plan.tier}: cold starts after a pause"
        )
    if None in observed.pull_permissions.values():
        notes.append(pull_permission.UNKNOWN_NOTE)
    return notes


def _site_update_steps(
    spec: SiteSpec, observed: ObservedState, site_update: SiteUpdate
) -> list[Step]:
    site = next(item for item in observed.sites if item.name == site_update.site)
    resource = state.describe_site(spec, site)
    before = (
        authentication.auth_mode(site.auth, site.settings) if site.image else "nothing is running"
    )
    steps = [
        difference.to_step("as configured", resource) for difference in site_update.differences
    ]
    if site_update.auth is not None:
        after = spec.settings.auth
        steps.append(
            Step("change", f"{resource}: auth", before, after, "before a container starts")
        )
    if site_update.start:
        steps.append(Step("change", resource, "stopped", "running", "the site is stopped"))
    return steps or [Step("keep", resource, before, before, "as configured")]


def _version_steps(
    spec: SiteSpec, image: Image, observed: ObservedState, decision: Decision
) -> list[Step]:
    production = observed.production
    before = naming.format_image(production.image) or "nothing"
    if not decision.has_new_version:
        return [Step("keep", "production", before, before, "image and settings are the same")]
    digest_text = image.digest[7:19] if image.digest else "not pushed yet"
    after = f"{image.tag} ({digest_text})"
    location = (
        "in production" if decision.is_in_place else f"on the slot {decision.first_site} first"
    )
    steps = [difference.to_step(location) for difference in decision.differences]
    if decision.is_in_place:
        reason = "in place: restarts the site; restored if it does not become healthy"
        return [*steps, Step("change", "production", before, after, reason, implied=bool(steps))]
    slot, implied = f"slot {decision.first_site}", bool(steps)
    steps += [
        Step("remove", f"setting {name} of {slot}", "", "", "production does not have it")
        for name in decision.removed_slot_settings
    ]
    steps += [
        Step("remove", f"setting {name}", "", "", "after the new version serves")
        for name in decision.obsolete_settings
    ]
    if decision.is_staged:
        steps.append(Step("keep", slot, after, after, "an earlier deployment started it"))
    else:
        slot_before = naming.format_image(observed.slot.image) if observed.slot else ""
        reason = "started and verified at its own address"
        steps.append(Step("change", slot, slot_before, after, reason, implied=True))
    reason = f"slot swap; the previous version stays on {slot} for `inv rollback`"
    return [*steps, Step("change", "production", before, after, reason, implied=implied)]
