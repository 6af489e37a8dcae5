"""What there is to do: a pure function of what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.model import Image, Spec
from deploy.targets.azureml import naming, scaling, state, traffic, wanted
from deploy.targets.azureml.settings import place_of, settings_of
from deploy.targets.azureml.state import BROKEN, BUSY, READY, Endpoint, Version, World
from deploy.targets.azureml.wanted import Difference, Wanted

CREATE, CHANGE, KEEP = "create", "change", "keep"


@dataclass(frozen=True)
class Seen:
    """What a plan rests on. If it is not so any more when something is to be written, it is void.

    Left out is what changes by itself: states, numbers of instances under autoscale, and what is
    being deleted.
    """

    auth: str
    traffic: tuple[tuple[str, int], ...]
    mirror: tuple[tuple[str, int], ...]
    versions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Decision:
    """What to do, in this order.

    `endpoint` and `version` are create, change or keep, `name` is the deployment that will serve,
    `differences` why it is another than the one that serves now. `clear` are broken ones that are
    removed first, `scale` the instances that it is to have (None: as it is), `rule` what to do with
    the autoscale rule. `mirror` is the share of copies, `ramp` the shares one after the other.
    `remove` are those that nobody needs afterwards, `previous` is who served before, and stays.
    Not `ready` is a deployment that an earlier run began; not `settled`, an endpoint that is being
    changed while one looks.
    """

    endpoint: str
    version: str
    name: str
    wanted: Wanted
    differences: tuple[Difference, ...]
    clear: tuple[str, ...]
    scale: int | None
    rule: str
    mirror: int
    ramp: tuple[Mapping[str, int], ...]
    remove: tuple[str, ...]
    previous: str
    seen: Seen
    ready: bool = True
    settled: bool = True

    @property
    def count(self) -> int:
        """How many instances a new deployment starts with."""
        return self.scale or self.wanted.count or 1


def decide(spec: Spec, image: Image, world: World) -> Decision:
    """Return what there is to do."""
    settings = settings_of(spec)
    aim = wanted.of(spec, image, world.endpoint)
    own = [v for v in world.versions if state.ours(v.tags, spec.flow.name, spec.environment)]
    chosen = _chosen(own, aim, world)
    name = chosen.name if chosen else naming.deployment_of(image, {v.name for v in world.versions})
    serving = _largest(world)
    before = world.version(serving) if serving else None
    ramp = traffic.ramp(world.traffic, name, settings.rollout)
    previous = _previous(own, world, name)
    remove, clear = _superfluous(own, world, name, previous, settings.keep_previous)
    return Decision(
        endpoint=_endpoint(world.endpoint),
        version=KEEP if chosen else CREATE,
        name=name,
        wanted=aim,
        differences=wanted.differences(before, aim) if before and before.name != name else (),
        clear=clear if not chosen else (),
        scale=_scale(chosen, aim, settings.autoscale),
        rule=scaling.step(spec, world.scaling, chosen, world.workspace.location, world.endpoint),
        mirror=settings.mirror if ramp and traffic.without(world.traffic, name) else 0,
        ramp=ramp,
        remove=remove if chosen else tuple(one for one in remove if one not in clear),
        previous=previous,
        seen=seen(world.endpoint, world.versions),
        ready=chosen is not None and chosen.state == READY and settled(world),
        settled=settled(world),
    )


def seen(endpoint: Endpoint | None, versions: tuple[Version, ...]) -> Seen:
    """Return what a plan rests on."""
    stay = [v for v in versions if v.state != "Deleting"]
    return Seen(
        endpoint.auth if endpoint else "",
        shares(endpoint.traffic if endpoint else {}),
        shares(endpoint.mirror if endpoint else {}),
        tuple(sorted((v.name, v.image, v.instance_type.lower()) for v in stay)),
    )


def shares(given: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return shares above 0 in an order of their own."""
    return tuple(sorted((name, share) for name, share in given.items() if share))


def changed(before: Seen, now: Seen) -> str:
    """Return in words what is not as it was; empty where all is."""
    found = []
    if before.auth != now.auth:
        found.append(f"auth is {now.auth or 'gone'}, and was {before.auth or 'not there'}")
    if before.traffic != now.traffic:
        old, new = traffic.shown(dict(before.traffic)), traffic.shown(dict(now.traffic))
        found.append(f"traffic is {new}, and was {old}")
    if before.mirror != now.mirror:
        found.append("mirrored traffic is another")
    old_versions, new_versions = set(before.versions), set(now.versions)
    found += [f"the deployment {one[0]} is new" for one in sorted(new_versions - old_versions)]
    found += [f"the deployment {one[0]} is gone" for one in sorted(old_versions - new_versions)]
    return "; ".join(found)


def _chosen(own: list[Version], aim: Wanted, world: World) -> Version | None:
    """Return the deployment that is as wanted: the one with the most traffic, or furthest."""
    fitting = [
        v
        for v in own
        if aim.image
        and v.state not in BROKEN
        and v.state != "Deleting"
        and not wanted.differences(v, aim)
    ]
    return max(
        fitting,
        key=lambda v: (world.traffic.get(v.name, 0), v.state == READY, v.name),
        default=None,
    )


def _endpoint(found: Endpoint | None) -> str:
    if found is None:
        return CREATE
    return CHANGE if found.state in BROKEN else KEEP


def _scale(chosen: Version | None, aim: Wanted, autoscale: Any) -> int | None:
    if autoscale:
        return autoscale.min if chosen is None else None
    if chosen is None:
        return aim.count
    return aim.count if chosen.count != aim.count else None


def _largest(world: World) -> str:
    return max(sorted(world.traffic), key=lambda name: world.traffic[name], default="")


def _previous(own: list[Version], world: World, name: str) -> str:
    """Return who served before: who has most of the rest, or whom the endpoint's tag names."""
    broken = {v.name for v in world.versions if v.state in BROKEN}
    others = {one: share for one, share in world.traffic.items() if one not in {name, *broken}}
    if others:
        return max(sorted(others), key=lambda one: others[one])
    told = world.endpoint.tags.get(naming.PREVIOUS, "") if world.endpoint else ""
    return told if told in {v.name for v in own} - {name, *broken} else ""


def _superfluous(
    own: list[Version], world: World, name: str, previous: str, keep: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what to remove in the end, and what of it is broken and serves nobody."""
    others = [v for v in own if v.name != name and v.state != "Deleting"]
    # One that serves may be broken, too: by a change of it that failed. It is removed after that.
    broken = [v.name for v in others if v.state in BROKEN]
    newest = sorted(
        (v for v in others if v.name not in broken),
        key=lambda v: (v.name == previous, v.tags.get(naming.AT, ""), v.name),
        reverse=True,
    )
    superfluous = [v.name for v in newest[keep:]]
    idle = [name for name in broken if not world.traffic.get(name)]
    return tuple(sorted([*superfluous, *broken])), tuple(sorted(idle))


def settled(world: World) -> bool:
    """Whether nothing is under way at the endpoint."""
    return not (world.endpoint and world.endpoint.state in BUSY)


def identity_fits(spec: Spec, endpoint: Endpoint) -> bool:
    """Whether the endpoint has the identity that it should have; it cannot get another."""
    identity = place_of(spec).identity
    if identity:
        return identity.lower() in endpoint.clients
    return endpoint.kind.startswith("SystemAssigned")
