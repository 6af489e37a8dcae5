"""The plan for people: a row for each change with before, after and why; and what cannot work."""

from __future__ import annotations

import math

from deploy.errors import Problem, Refusal
from deploy.model import Image, Spec, Step
from deploy.targets.azureml import naming, scaling, sizes, state, traffic
from deploy.targets.azureml.decide import CREATE, KEEP, Decision, identity_fits
from deploy.targets.azureml.settings import place_of, settings_of
from deploy.targets.azureml.state import World

# Azure keeps a fifth more for upgrades ("Manage and increase quotas").
SPARE = 1.2
MOST_VERSIONS = 20


def steps(spec: Spec, image: Image, world: World, decision: Decision) -> tuple[Step, ...]:
    """Return the rows of a plan."""
    why = "no request needs it"
    return (
        *_endpoint(spec, world, decision),
        *_version(spec, image, world, decision),
        *_traffic(spec, world, decision),
        *(
            Step("remove", f"deployment {name}", was, "", why, means=decision.version == CREATE)
            for name, was in ((one, _was(world, one)) for one in decision.remove)
        ),
        *(Step("note", "note", "", "", text) for text in notes(spec, world, decision)),
        *_moved(world),
    )


def refuse(spec: Spec, world: World, decision: Decision) -> None:
    """Raise `Refusal` with every reason why the plan cannot work."""
    where = f"endpoint {naming.endpoint_of(spec)}"
    problems = [
        *_somebody_elses(spec, where, world),
        *_unchangeable(spec, where, world),
        *_room(where, world, decision),
        *_puller(spec, where, world, decision),
    ]
    if decision.version == CREATE and len(world.versions) - len(decision.clear) >= MOST_VERSIONS:
        what = f"it has {len(world.versions)} deployments, and may have {MOST_VERSIONS}"
        problems.append(Problem(where, what, "remove some that nobody needs"))
    if problems:
        raise Refusal.of(problems)


def notes(spec: Spec, world: World, decision: Decision) -> list[str]:
    """Return what one should know, and that changes nothing."""
    found = list(world.notes)
    if decision.wanted.plain:
        names = ", ".join(decision.wanted.plain)
        found.append(
            f"{names}: stored as plain text in the deployment, for whoever may read it "
            "(plain_secrets); env.secret_refs avoids that"
        )
    retires = sizes.retires(decision.wanted.instance_type)
    if retires:
        found.append(f"Azure retires {decision.wanted.instance_type} on {retires}")
    if world.puller is None and decision.version == CREATE and world.endpoint:
        found.append("nobody here may see whether the endpoint's identity has AcrPull")
    if spec.missing:
        found.append(f"not set, so not in the container: {', '.join(spec.missing)}")
    return found


def needed(cores: int, count: int) -> int:
    """Return the cores of quota that `count` instances take."""
    return math.ceil(SPARE * count) * cores


def _endpoint(spec: Spec, world: World, decision: Decision) -> list[Step]:
    settings, what = settings_of(spec), f"endpoint {naming.endpoint_of(spec)}"
    if world.endpoint is None:
        identity = place_of(spec).identity
        who = f"identity {identity.rpartition('/')[2]}" if identity else "an identity of its own"
        return [Step("create", what, "", f"auth {settings.auth}, {who}", "none is there")]
    before = f"auth {world.endpoint.auth}"
    if decision.endpoint == KEEP:
        return [Step("keep", what, before, before, "as configured")]
    return [Step("change", what, before, before, f"it is {world.endpoint.state}")]


def _version(spec: Spec, image: Image, world: World, decision: Decision) -> list[Step]:
    what = f"deployment {decision.name}"
    wanted = decision.wanted
    count = str(decision.count) if decision.version == CREATE else ""
    found = [
        Step("remove", f"deployment {name}", _was(world, name), "", "it is broken")
        for name in decision.clear
    ]
    current = world.version(decision.name)
    if decision.version == KEEP and current:
        state_now = f"{current.count} × {current.instance_type}, {current.state}"
        found.append(Step("keep", what, state_now, state_now, "image and settings are as wanted"))
        if decision.scale is not None:
            before, after = str(current.count), str(decision.scale)
            found.append(Step("change", "instance_count", before, after, "deploy.yaml"))
    else:
        digest = (image.digest or "").removeprefix("sha256:")[:12]
        shown = f"{image.tag} ({digest or 'not pushed yet'})"
        after = f"{shown}, {count} × {wanted.instance_type}"
        why = "other settings or another image" if decision.differences else "none is as wanted"
        if not world.versions:
            why = "none is there"
        found.append(Step("create", what, "", after, why, means=bool(decision.differences)))
        found += [
            Step("change", one.what, one.before, one.after, f"in {what}")
            for one in decision.differences
        ]
    autoscale = settings_of(spec).autoscale
    if decision.rule:
        rule = scaling.name_of(naming.endpoint_of(spec), decision.name)
        after = f"{autoscale.min} to {autoscale.max} instances" if autoscale else ""
        means = decision.version == CREATE
        found.append(Step(decision.rule, f"autoscale {rule}", "", after, "autoscale", means=means))
    return found


def _traffic(spec: Spec, world: World, decision: Decision) -> list[Step]:
    settings = settings_of(spec)
    before = traffic.shown(world.traffic)
    found = []
    if decision.mirror:
        why = f"copies for {settings.soak} s, before any request is answered by it"
        after = f"{decision.name} {decision.mirror} %"
        found.append(Step("change", "mirror", "none", after, why, means=True))
    for number, shares in enumerate(decision.ramp):
        last = number == len(decision.ramp) - 1
        alone = len(decision.ramp) == 1 and not traffic.without(world.traffic, decision.name)
        why = "nothing else serves" if alone else f"watched for {settings.soak} s"
        # Where a new version comes, it is the way there; where not, somebody else moved it.
        means = decision.version == CREATE or not last
        found.append(Step("change", "traffic", before, traffic.shown(shares), why, means=means))
        before = traffic.shown(shares)
        if last and decision.previous:
            keeps = f"{decision.previous} stays for `inv rollback`"
            if settings.keep_previous:
                found.append(
                    Step("keep", f"deployment {decision.previous}", "", "no traffic", keeps)
                )
    if not found:
        found.append(Step("keep", "traffic", before, before, "as it should be"))
    return found


def _was(world: World, name: str) -> str:
    version = world.version(name)
    if version is None:
        return ""
    return f"{version.tags.get(naming.TAG, '')}, {version.state}".lstrip(", ")


def _moved(world: World) -> list[Step]:
    """Return a note where somebody has moved traffic by hand since the last deploy."""
    if world.endpoint is None or naming.SHARES not in world.endpoint.tags:
        return []
    told, now = world.endpoint.tags[naming.SHARES], naming.shares_text(world.traffic)
    if told == now:
        return []
    why = f"somebody moved traffic by hand: the last deploy left {told or 'none'}"
    return [Step("note", "traffic", now, told, why)]


def _somebody_elses(spec: Spec, where: str, world: World) -> list[Problem]:
    found = world.endpoint
    if found is None:
        return []
    own = (spec.flow.name, spec.environment)
    tagged = found.tags.get(naming.FLOW)
    if tagged and not state.ours(found.tags, *own):
        what = f"it is of the flow {tagged} in {found.tags.get(naming.ENVIRONMENT)}"
        return [Problem(where, what, "set another `endpoint` in deploy.yaml")]
    foreign = [
        v.name for v in world.versions if not state.ours(v.tags, *own) and world.traffic.get(v.name)
    ]
    if foreign:
        what = f"requests go to what no deploy of this flow made: {', '.join(foreign)}"
        return [Problem(where, what, "set another `endpoint`, or take their traffic away first")]
    return []


def _unchangeable(spec: Spec, where: str, world: World) -> list[Problem]:
    """Return what an endpoint has for life; its callers would be locked out in any case."""
    if world.endpoint is None:
        return []
    hint = "set another `endpoint` in deploy.yaml, and move its callers; or destroy it first"
    found, wanted = world.endpoint.auth, settings_of(spec).auth
    wrong = []
    if found != wanted:
        wrong.append(f"its auth is {found}, not {wanted}, and does not change")
    if not identity_fits(spec, world.endpoint):
        wrong.append(
            "it has another identity than environments.yaml says, and cannot be given that"
        )
    return [Problem(where, what, hint) for what in wrong]


def _room(where: str, world: World, decision: Decision) -> list[Problem]:
    room = world.room
    if room is None or room.limit is None:
        return []
    if decision.version != CREATE and decision.scale is None:
        return []
    current = world.version(decision.name)
    more = needed(room.cores, decision.count) - (
        needed(room.cores, current.count) if current else 0
    )
    free = room.limit - room.used
    if more <= free:
        return []
    what = (
        f"{decision.count} × {decision.wanted.instance_type} takes {more} cores of quota (a fifth "
        f"more than the instances), and {room.family} has {free} of {room.limit} left"
    )
    hint = "ask for more (Azure Machine Learning, Quota), or set another instance_type"
    return [Problem(where, what, hint)]


def _puller(spec: Spec, where: str, world: World, decision: Decision) -> list[Problem]:
    if world.puller is not False or decision.version != CREATE:
        return []
    who = ", ".join(world.endpoint.principals) if world.endpoint else "its identity"
    what = f"the identity {who} may not pull from {spec.place.registry}: AcrPull is missing"
    return [Problem(where, what, "have AcrPull on the registry assigned to it; it takes minutes")]
