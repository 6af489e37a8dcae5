"""The order of things, written once: configuration → spec → image → plan → apply → verify."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy import base, config, console, engine, image, images, locks, publishing, targets, verify
from deploy.config import Project
from deploy.errors import DeployError
from deploy.inside import inspection
from deploy.inside.inspection import Inspection
from deploy.model import Deployment, Flow, Image, Plan, Spec, Step
from deploy.registry import promotion, referrers, remote


def promote(source: Spec, target: Spec, project: Project, handed: Path | None = None) -> Image:
    """Carry the digest that runs in one environment to the registry of another.

    With `handed`, a file of `images.publish`, that one.
    """
    flow = source.flow
    with console.about(flow.name):
        origin = remote.of(flow.name, source.place, source.environment)
        goal = remote.of(flow.name, target.place, target.environment)
        digest = images.handed_over(project, flow, handed).digest if handed else _running(source)
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
    found = images.to_plan(project, spec, handed)
    with console.about(spec.flow.name):
        planned = target.plan(spec, found)
        if found.digest or not spec.place.registry:
            return planned
        where = remote.of(spec.flow.name, spec.place, spec.environment)
        why = "the registry does not have it"
        step = Step("create", f"image {where.name}:{found.tag}", "", "", why)
        return dataclasses.replace(planned, steps=(step, *planned.steps))


def deploy(project: Project, spec: Spec, handed: Path | None = None) -> Deployment:
    """Build, publish where there is a registry, look, act, and prove the result.

    With `handed`, a file of `publish`, nothing is built: that very image is deployed. What ran
    before keeps running unless the new one is proved.
    """
    with _alone(project, spec):
        target = targets.get(spec.target)
        target.check(spec)
        chosen = images.to_deploy(project, spec, handed)
        with console.about(spec.flow.name):
            planned = target.plan(spec, chosen)
            for step in planned.steps:
                console.note("plan", f"{step.action} {step.what}: {step.why}")
            if planned.changes:
                what = "start, wait for health, score the sample"
                with console.phase("deploy", f"{spec.target}: {what}"):
                    return _apply(planned)
            # Nothing to change; what an earlier deploy left half-done is cleaned up all the same.
            found = _apply(planned)
            prove(spec)
            return found


def prove(spec: Spec) -> tuple[str, Any]:
    """Score the sample against what runs; return where that was, and the answer."""
    url = _deployed(spec).url
    with console.phase("smoke", f"scoring {spec.flow.sample.name}"):
        return url, verify.score_sample(spec, url)


def status(spec: Spec) -> Deployment | None:
    """Return what runs for `spec`, or None."""
    return targets.get(spec.target).status(spec)


def logs(spec: Spec, tail: int) -> Iterator[str]:
    """Yield the last lines of what runs for `spec`."""
    return targets.get(spec.target).logs(spec, tail)


def destroy(spec: Spec) -> tuple[Step, ...]:
    """Remove what was deployed for `spec`."""
    return targets.get(spec.target).destroy(spec)


def overview(project: Project) -> list[dict[str, Any]]:
    """Return a row for each flow: what it is, where it goes, and whether its image is built."""
    return [_row(project, flow) for flow in config.load_flows(project)]


def lock(flows: list[Flow]) -> list[Path]:
    """Lock the requirements of `flows` anew; return the files that were written."""
    written = []
    for flow in flows:
        with console.about(flow.name), console.phase("lock", locks.REQUIREMENTS):
            written.append(locks.lock(flow))
    return written


def nothing_deployed(spec: Spec) -> dict[str, str]:
    """Return the row of a status table for what does not run."""
    return {
        "flow": spec.flow.name,
        "environment": spec.environment,
        "target": spec.target,
        "state": "not deployed",
    }


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


def _apply(planned: Plan) -> Deployment:
    spec = planned.spec
    target = targets.get(spec.target)
    return target.apply(planned, lambda url, headers: _score(spec, url, headers))


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


def _score(spec: Spec, url: str, headers: Any) -> None:
    verify.score_sample(spec, url, headers)


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
        found = base.find(client, flow.image, project.root)
        if found is None:
            return None, False
        made_of = image.inputs(flow, found, project.root)
    except DeployError:
        return None, False
    return made_of.tag, image.find(client, made_of) is not None
