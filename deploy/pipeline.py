"""The order of things, written once: configuration → spec → image → plan → apply → verify."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import config, console, images, locks, publishing, targets, verify
from deploy.build import base_image, image
from deploy.config import Project
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.inside import inspection
from deploy.inside.inspection import Inspection
from deploy.model import Deployment, Flow, Image, Plan, Spec, Step
from deploy.registry import promotion, referrers, remote
from deploy.trust import records

# What people see of a step of a plan.
PLAN_COLUMNS = ("action", "what", "before", "after", "why")
# Flows are deployed side by side, but built one after the other: builds share tools and volumes.
_building = threading.Lock()


@dataclass(frozen=True)
class Proof:
    """The answer to the sample, where it was scored, how one is let in there, and the seconds."""

    url: str
    auth: str
    answer: Any
    seconds: float


def promote(
    source: Spec,
    target: Spec,
    project: Project,
    handed: Path | None = None,
    trust_registry: bool = False,
) -> Image:
    """Carry the digest that runs in one environment to the registry of another.

    With `handed`, a file of `images.publish`, that one. What runs is verified first.
    """
    flow = source.flow
    with console.about(flow.name):
        origin = remote.of(flow.name, source.place, source.environment)
        goal = remote.of(flow.name, target.place, target.environment)
        if handed:
            digest = images.handed_over(project, flow, handed).digest
        else:
            digest = _running(source)
            if running := origin.find(flow, digest):
                images.verify(project, origin, flow, running, trust_registry)
        places = (source.place, target.place)
        there = promotion.promote(flow, digest, origin, goal, places)
        publishing.record(project.root, flow, there)
        return there


def inspect(project: Project, flow: Flow, spec: Spec | None = None) -> Inspection:
    """Return what is inside the flow's image, which must be built.

    With `spec` also whether its environment's registry has it, and which documents about it.
    """
    client = engine.connect()
    built = inspection.find(client, flow, project.root)
    if spec is None:
        return inspection.inspect(client, built)
    where = remote.of(flow.name, spec.place, spec.environment)
    published = where.find(flow, built.tag)
    attached = (
        referrers.attached(where.registry, where.repository, published.digest or "")
        if published
        else ()
    )
    return inspection.inspect(client, built, published, attached)


def plan(project: Project, spec: Spec, handed: Path | None = None) -> Plan:
    """Build the image if need be, and return what deploying it would change. Pushes nothing."""
    target = targets.get(spec.target)
    target.check(spec)
    with _building:
        found = images.to_plan(project, spec, handed)
    with console.about(spec.flow.name):
        planned = target.plan(spec, found)
        if found.digest and not handed and not records.has(records.VERIFIED, spec.flow.name, found):
            why = "not verified on this machine: a deploy compares the image with the flow's files"
            step = Step("note", "note", "", "", why)
            return dataclasses.replace(planned, steps=(step, *planned.steps))
        if found.digest or not spec.place.registry:
            return planned
        where = remote.of(spec.flow.name, spec.place, spec.environment)
        why = "the registry does not have it"
        step = Step("create", f"image {where.name}:{found.tag}", "", "", why)
        return dataclasses.replace(planned, steps=(step, *planned.steps))


def deploy(
    project: Project,
    spec: Spec,
    handed: Path | None = None,
    wait: bool = True,
    trust_registry: bool = False,
) -> Deployment:
    """Build, publish where there is a registry, look, act, and prove the result.

    With `handed`, a file of `publish`, nothing is built: that very image is deployed. What ran
    before keeps running unless the new one is proved. Without `wait` see `Target.apply`, and with
    `trust_registry` see `images.verify`.
    """
    with _alone(project, spec):
        target = targets.get(spec.target)
        target.check(spec)
        with _building:
            chosen = images.to_deploy(project, spec, handed, trust_registry)
        with console.about(spec.flow.name):
            planned = target.plan(spec, chosen)
            for step in planned.steps:
                console.note("plan", in_words(step))
            steps = [as_data(step) for step in planned.steps]
            console.report(steps, PLAN_COLUMNS, f"Plan of {spec.name}")
            if planned.changes:
                return _apply(planned, wait)
            # Nothing to change; what an earlier deploy left half-done is cleaned up all the same.
            found = _apply(planned, wait)
            prove(spec, found)
            return found


def prove(spec: Spec, found: Deployment | None = None) -> Proof:
    """Score the sample against what runs, `found` where the caller knows that already."""
    found = found or _deployed(spec)
    headers = targets.get(spec.target).headers(spec)
    with console.phase("smoke", f"scoring {spec.flow.sample.name}"):
        start = time.monotonic()
        answer = _score(spec, found.url, headers)
        return Proof(found.url, found.auth, answer, round(time.monotonic() - start, 3))


def rollback(project: Project, spec: Spec) -> Deployment:
    """Let the version that served before serve again."""
    target = targets.get(spec.target)
    with (
        _alone(project, spec),
        console.about(spec.flow.name),
        console.phase("rollback", spec.environment),
    ):
        return target.rollback(spec)


def status(spec: Spec) -> Deployment | None:
    """Return what runs for `spec`, or None."""
    return targets.get(spec.target).status(spec)


def logs(spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
    """Yield the last lines of what runs for `spec`; with `follow` then those that come."""
    return targets.get(spec.target).logs(spec, tail, follow)


def destroy(spec: Spec) -> tuple[Step, ...]:
    """Remove what was deployed for `spec`."""
    return targets.get(spec.target).destroy(spec)


def overview(project: Project) -> list[dict[str, Any]]:
    """Return a row for each flow: what it is, where it goes, and whether its image is built."""
    return [_row(project, flow) for flow in config.load_flows(project)]


def in_words(step: Step) -> str:
    """Return a step of a plan as a line of a log."""
    if step.action == "note":
        return step.why
    values = [step.before, step.after] if step.before != step.after else []
    change = " → ".join(value for value in values if value)
    return f"{step.action} {step.what}{f': {change}' if change else ''} ({step.why})"


def lock(flows: list[Flow]) -> list[Path]:
    """Lock the requirements of `flows` anew; return the files that were written."""
    written = []
    for flow in flows:
        with console.about(flow.name), console.phase("lock", locks.REQUIREMENTS):
            written.append(locks.lock(flow))
    return written


def nothing_deployed(spec: Spec, state: str = "not deployed") -> dict[str, str]:
    """Return the row of a status table for what does not run."""
    return {
        "flow": spec.flow.name,
        "environment": spec.environment,
        "target": spec.target,
        "state": state,
    }


def status_rows(found: Deployment) -> list[dict[str, Any]]:
    """Return what runs as rows of a table: one, or one for each version that is there at once."""
    row = {**as_data(found), "share": ""}
    return [
        {
            **row,
            "name": share.name,
            "share": f"{share.percent} %",
            "state": share.state,
            "tag": share.tag,
            "commit": share.commit,
            "created": share.since,
            "by": share.by,
        }
        for share in found.shares
    ] or [row]


def smoke_rows(
    proved: Iterable[tuple[Spec, Proof]], failed: Iterable[Spec]
) -> list[dict[str, str]]:
    """Return a row for each flow whose sample was scored: whether it is well, and the seconds."""
    good = [(spec, "healthy", f"{proof.seconds:.2f}") for spec, proof in proved]
    bad = [(spec, "failed", "") for spec in failed]
    return [
        {"flow": spec.flow.name, "status": status, "seconds": seconds}
        for spec, status, seconds in good + bad
    ]


def as_data(value: Any) -> Any:
    """Return a noun of `model` as plain data for JSON."""
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]


def _running(spec: Spec) -> str:
    """Return the digest that runs for `spec`."""
    found = _deployed(spec)
    if not found.digest:
        what = "what runs there did not come from a registry"
        hint = f"`inv push --env {spec.environment}`, then name its file with --image"
        raise DeployError(spec.name, what, hint)
    return found.digest


def _apply(planned: Plan, wait: bool) -> Deployment:
    spec = planned.spec
    target = targets.get(spec.target)

    def prove(url: str, headers: Mapping[str, str]) -> None:
        _score(spec, url, headers)

    return target.apply(planned, prove, wait)


@contextlib.contextmanager
def _alone(project: Project, spec: Spec) -> Iterator[None]:
    """Raise `DeployError` while another deploy of the same spec runs from this checkout."""
    folder = project.root / ".build"
    folder.mkdir(exist_ok=True)
    with (folder / f"{spec.flow.name}-{spec.environment}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = "another deploy of it is under way"
            raise DeployError(spec.name, what, "wait for it, then try again") from None
        yield


def _deployed(spec: Spec) -> Deployment:
    found = status(spec)
    if found is None or found.state == "stopped":
        hint = f"`inv deploy --flow {spec.flow.name} --env {spec.environment}`"
        raise DeployError(spec.name, "nothing is deployed", hint)
    return found


def _score(spec: Spec, url: str, headers: Mapping[str, str]) -> Any:
    target = targets.get(spec.target)
    return verify.score_sample(spec, url, headers, lambda *said: target.refusal(spec, *said))


def _row(project: Project, flow: Flow) -> dict[str, Any]:
    tag, built = _built(project, flow)
    return {
        "flow": flow.name,
        "kind": flow.kind,
        "environments": dict(flow.environments),
        "connections": list(flow.connections),
        "tag": tag,
        "built": built,
    }


def _built(project: Project, flow: Flow) -> tuple[str | None, bool]:
    """Return the flow's content tag and whether that image is there.

    No tag where there is no engine, base or lock.
    """
    try:
        client = engine.connect()
        found = base_image.find(client, flow.image, project.root)
        if found is None:
            return None, False
        made_of = image.inputs(flow, found, project.root)
    except DeployError:
        return None, False
    return made_of.tag, image.find(client, made_of) is not None
