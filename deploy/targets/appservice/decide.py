"""What there is to do: a pure function of what is wanted and what is there."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.arm import variables
from deploy.model import Image, Spec
from deploy.targets.appservice import naming, state, wanted
from deploy.targets.appservice.naming import PRODUCTION, VOLATILE, Record
from deploy.targets.appservice.state import Site, World
from deploy.targets.appservice.wanted import Difference, Wanted

# How the platform's authentication should be, by what it is; None where it is so.
Auth = Mapping[str, "dict[str, Any] | None"]


@dataclass(frozen=True)
class Fix:
    """What is to be changed of a site that is not what it runs; `start` one that is stopped.

    `settings` are those that stay with the site; None for one that is to go.
    """

    site: str
    web: Mapping[str, Any]
    properties: Mapping[str, Any]
    auth: Mapping[str, Any] | None
    settings: Mapping[str, str | None] = field(repr=False)
    start: bool
    differences: tuple[Difference, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether anything is to be changed."""
        return bool(
            self.web or self.properties or self.auth is not None or self.settings or self.start
        )


Seen = tuple[str, str]
"""What a site runs, and the fingerprint of its settings."""


@dataclass(frozen=True)
class Decision:
    """What to do.

    `deploys` tells whether production is to run something else, `staged` that the slot has it
    already. `goes` is where it goes first: the slot, or production. `sticky` are names to add to
    those that stay with their slot, `leaving` those of production that no swap takes away and that
    are to go once it is done, `dropped` settings of the slot that nobody gave production. `seen` is
    what production was when this was decided.
    """

    deploys: bool
    staged: bool
    goes: str
    wanted: Wanted
    differences: tuple[Difference, ...]
    fixes: tuple[Fix, ...]
    sticky: tuple[str, ...]
    leaving: tuple[str, ...]
    dropped: tuple[str, ...]
    seen: Seen

    @property
    def in_place(self) -> bool:
        """Whether production itself is changed, for want of a slot."""
        return self.goes == PRODUCTION

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.deploys or bool(self.sticky) or any(fix.needed for fix in self.fixes)


def decide(spec: Spec, image: Image, world: World, auth: Auth) -> Decision:
    """Return what there is to do."""
    aim = wanted.of(spec, image, world)
    production, slot = world.production, world.slot
    whole = in_production(spec, production, aim)
    deploys = not _runs(spec, image, production, aim, whole)
    staged: Mapping[str, str] = content(spec, world, slot, aim) if slot else {}
    dropped = {
        name
        for name in (slot.settings if slot else ())
        if slot and name not in {*staged, *VOLATILE, *_names(spec, slot)}
    }
    old = _names(spec, production) & set(world.sticky) & set(production.settings)
    return Decision(
        deploys=deploys,
        staged=slot is not None and _runs(spec, image, slot, aim, staged),
        goes=(slot or production).name,
        wanted=aim,
        differences=_content(spec, production, aim, whole) if deploys else (),
        fixes=tuple(fix(spec, world, site, aim, auth, deploys) for site in world.sites),
        sticky=tuple(sorted(aim.staying - set(world.sticky))) if slot else (),
        leaving=tuple(sorted(old - aim.names)) if slot and deploys else (),
        dropped=tuple(sorted(dropped)) if deploys else (),
        seen=seen(production),
    )


def content(spec: Spec, world: World, site: Site, aim: Wanted) -> dict[str, str]:
    """Return all settings that the site where a deploy goes should have, without the record."""
    if site.name == PRODUCTION:
        return in_production(spec, site, aim)
    return on_slot(spec, site, world.production, aim, frozenset(world.sticky) | aim.staying)


def seen(site: Site) -> Seen:
    """Return what a plan rests on. If it is not so any more, the plan is void."""
    return site.image, state.fingerprint(site.settings)


def in_production(spec: Spec, site: Site, aim: Wanted) -> dict[str, str]:
    """Return all settings that production should have, without the record."""
    return {**_foreign(spec, site, aim), **aim.settings, **aim.sticky.get(site.name, {})}


def on_slot(
    spec: Spec, slot: Site, production: Site, aim: Wanted, staying: frozenset[str]
) -> dict[str, str]:
    """Return all settings that the slot should have before a swap, without the record.

    What goes with the image goes to production: that is ours, and what others gave production. What
    stays is the slot's own.
    """
    own = _foreign(spec, slot, aim)
    return {
        **{n: text for n, text in own.items() if n in staying},
        **{n: t for n, t in _foreign(spec, production, aim).items() if n not in staying},
        **aim.settings,
        **aim.sticky.get(slot.name, {}),
    }


def fix(spec: Spec, world: World, site: Site, aim: Wanted, auth: Auth, deploys: bool) -> Fix:
    """Return what is to be changed of a site beside what it runs.

    The health check stays with production where slots are swapped; in place the image brings it.
    """
    health = site.name == PRODUCTION and not (deploys and world.slot is None)
    web = wanted.web(spec, site, world.plan.tier, health)
    properties = wanted.properties(spec, site)
    asked = auth.get(site.name)
    in_place = world.slot is None and deploys
    sticky = {} if in_place else aim.sticky.get(site.name, {})
    settings: dict[str, str | None] = {
        n: text for n, text in sticky.items() if site.settings.get(n) != text
    }
    if site.name != PRODUCTION and deploys:
        # They are written together with what is to run there.
        settings = {}
    found = [
        *(Difference(n, _text(site.web.get(n)), _text(value)) for n, value in web.items()),
        *(
            Difference(n, _text(site.properties.get(n)), _text(value))
            for n, value in properties.items()
        ),
        *(_setting(spec, site, aim, n, text) for n, text in settings.items()),
    ]
    start = site.state == state.STOPPED
    return Fix(site.name, web, properties, asked, settings, start, tuple(found))


def record(spec: Spec, image: Image, world: World, aim: Wanted, by: str, at: str) -> Record:
    """Return what this deploy leaves in the site."""
    before = world.production.record
    ours = before if before and before.of(spec) else None
    kept, kept_tag = _kept(world.production, ours, naming.reference(image))
    return Record(
        flow=spec.flow.name,
        environment=spec.environment,
        tag=image.tag,
        id=f"{image.tag[:12]}-{secrets.token_hex(4)}",
        digest=image.digest or "",
        commit=image.commit,
        by=by,
        at=at,
        names=tuple(sorted(aim.names)),
        first=ours.first if ours else world.production.image,
        previous=ours.id if ours and world.slot else "",
        before="" if world.slot else kept,
        before_tag="" if world.slot else kept_tag,
    )


def _kept(site: Site, ours: Record | None, coming: str) -> tuple[str, str]:
    """Return image and tag of the version before `coming`, where it is changed in place."""
    if ours is None:
        return "", ""
    whole = site.image.endswith(ours.digest)
    if whole and site.image != coming:
        return site.image, ours.tag
    # Only the settings change; or a deploy was killed before the image was written.
    return ours.before, ours.before_tag


def _runs(spec: Spec, image: Image, site: Site, aim: Wanted, settings: Mapping[str, str]) -> bool:
    """Whether a site runs the image with these settings, as far as its configuration says."""
    found = site.record
    present = _lasting(site)
    return bool(
        aim.image
        and found
        and found.of(spec)
        and (site.image, found.tag) == (aim.image, image.tag)
        and present == settings
    )


def _lasting(site: Site) -> dict[str, str]:
    return {name: text for name, text in site.settings.items() if name not in VOLATILE}


def _names(spec: Spec, site: Site) -> frozenset[str]:
    found = site.record
    return frozenset(found.names) if found and found.of(spec) else frozenset()


def _foreign(spec: Spec, site: Site, aim: Wanted) -> dict[str, str]:
    """Return the settings that are not ours: neither now nor before."""
    ours = {*_names(spec, site), *aim.names, *VOLATILE}
    return {name: text for name, text in site.settings.items() if name not in ours}


def _content(
    spec: Spec, production: Site, aim: Wanted, whole: Mapping[str, str]
) -> tuple[Difference, ...]:
    found = []
    if production.image != aim.image:
        after = naming.shown(aim.image) if aim.image else "the new image"
        found.append(Difference("image", naming.shown(production.image) or "none", after))
    present = _lasting(production)
    for name in sorted({*present, *whole}):
        if present.get(name) != whole.get(name):
            found.append(_setting(spec, production, aim, name, whole.get(name)))
    return tuple(found)


def _setting(spec: Spec, site: Site, aim: Wanted, name: str, value: str | None) -> Difference:
    """Return a change of a setting for people.

    What it was is shown only where an earlier deploy set it, and did not hide it.
    """
    hidden = aim.hidden | variables.masked(site.settings)
    foreign = frozenset(site.settings) - _names(spec, site)
    before = wanted.shown(name, site.settings.get(name), hidden | foreign)
    return Difference(f"setting {name}", before, wanted.shown(name, value, hidden))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one.get("ipAddress") or one.get("name")) for one in value) or "none"
    text = str(value or "none")
    return text.rpartition("/")[2] if text.startswith("/subscriptions/") else text
