"""The steps of a delivery in order: configuration → spec → image → plan → apply → verify."""

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

from deploy.build import base_image, flow_image, lock_files
from deploy.config import configuration, target_registry
from deploy.config.configuration import Project
from deploy.core import output, progress
from deploy.core.entities import Deployment, Flow, Image, Plan, Spec, Step
from deploy.core.errors import DeployError
from deploy.delivery import publication, resolve_image
from deploy.docker import engine
from deploy.registry import image_repository, promotion, referrers
from deploy.supply_chain import inspection
from deploy.supply_chain.image_verification import records
from deploy.supply_chain.inspection import Inspection
from deploy.targets import verification

# Columns of a plan's table.
PLAN_COLUMNS = ("action", "what", "before", "after", "why")
# Flows are deployed in parallel, but built one after the other: builds share tools and volumes.
_build_lock = threading.Lock()


@dataclass(frozen=True)
class SmokeResult:
    """The answer to a flow's sample."""

    url: str
    # How clients authenticate at `url`, as in `Deployment.auth`.
    auth: str
    answer: Any
    seconds: float


def promote(
    source: Spec,
    target: Spec,
    project: Project,
    image_file: Path | None = None,
    trust_registry: bool = False,
) -> Image:
    """Copy the digest that runs in one environment to the registry of another.

    With `image_file`, a file that `inv push` wrote, copy the digest in that file instead. A running
    image is verified first.
    """
    flow = source.flow
    with progress.log_prefix(flow.name):
        source_repository = image_repository.open_repository(
            flow.name, source.place, source.environment
        )
        target_repository = image_repository.open_repository(
            flow.name, target.place, target.environment
        )
        if image_file:
            digest = resolve_image.read_image_reference(project, flow, image_file).digest
        else:
            digest = _read_running_digest(source)
            if running := source_repository.find(flow, digest):
                resolve_image.verify_image(
                    project, source_repository, flow, running, trust_registry
                )
        places = (source.place, target.place)
        promoted = promotion.promote(flow, digest, source_repository, target_repository, places)
        publication.write_image_reference(project.root, flow, promoted)
        return promoted


def inspect(project: Project, flow: Flow, spec: Spec | None = None) -> Inspection:
    """Return the contents of the flow's image, which must be built.

    With `spec`, include the image in its environment's registry and the documents attached there.
    """
    client = engine.connect()
    built = inspection.find_image(client, flow, project.root)
    if spec is None:
        return inspection.inspect(client, built)
    repository = image_repository.open_repository(flow.name, spec.place, spec.environment)
    published = repository.find(flow, built.tag)
    attached = (
        referrers.list_documents(repository.registry, repository.repository, published.digest or "")
        if published
        else ()
    )
    return inspection.inspect(client, built, published, attached)


def plan(project: Project, spec: Spec, image_file: Path | None = None) -> Plan:
    """Build the image if needed; return what deploying it would change. Push nothing."""
    target = target_registry.get(spec.target)
    target.check(spec)
    with _build_lock:
        image = resolve_image.resolve_for_plan(project, spec, image_file)
    with progress.log_prefix(spec.flow.name):
        planned = target.plan(spec, image)
        if (
            image.digest
            and not image_file
            and not records.has(records.VERIFIED, spec.flow.name, image)
        ):
            why = "not verified on this machine: a deploy compares the image with the flow's files"
            step = Step("note", "note", "", "", why)
            return dataclasses.replace(planned, steps=(step, *planned.steps))
        if image.digest or not spec.place.registry:
            return planned
        repository = image_repository.open_repository(spec.flow.name, spec.place, spec.environment)
        why = "the registry does not have it"
        step = Step("create", f"image {repository.name}:{image.tag}", "", "", why)
        return dataclasses.replace(planned, steps=(step, *planned.steps))


def deploy(
    project: Project,
    spec: Spec,
    image_file: Path | None = None,
    wait: bool = True,
    trust_registry: bool = False,
) -> Deployment:
    """Build and publish the image, apply the plan, and verify the result.

    The image is published only if the environment has a registry. With `image_file`, a file that
    `inv push` wrote, nothing is built: exactly that image is deployed. The previous version keeps
    running unless the new one passes verification. For `wait` see `Target.apply`, for
    `trust_registry` see `resolve_image.verify_image`.
    """
    with _lock_deployment(project, spec):
        target = target_registry.get(spec.target)
        target.check(spec)
        with _build_lock:
            image = resolve_image.resolve_for_deploy(project, spec, image_file, trust_registry)
        with progress.log_prefix(spec.flow.name):
            planned = target.plan(spec, image)
            for step in planned.steps:
                progress.note("plan", format_step(step))
            steps = [to_dict(step) for step in planned.steps]
            output.add_table(steps, PLAN_COLUMNS, f"Plan of {spec.name}")
            if planned.has_changes:
                return _apply(planned, wait)
            # Nothing to change, but `apply` also cleans up after an incomplete earlier deploy.
            deployment = _apply(planned, wait)
            run_smoke_test(spec, deployment)
            return deployment


def run_smoke_test(spec: Spec, deployment: Deployment | None = None) -> SmokeResult:
    """Score the sample against `deployment`, by default the one that runs for `spec`."""
    deployment = deployment or _require_deployment(spec)
    headers = target_registry.get(spec.target).headers(spec)
    with progress.phase("smoke", f"scoring {spec.flow.sample.name}"):
        start = time.monotonic()
        answer = _score(spec, deployment.url, headers)
        return SmokeResult(
            deployment.url, deployment.auth, answer, round(time.monotonic() - start, 3)
        )


def rollback(project: Project, spec: Spec) -> Deployment:
    """Return to the previous version; return the deployment that serves then."""
    target = target_registry.get(spec.target)
    with (
        _lock_deployment(project, spec),
        progress.log_prefix(spec.flow.name),
        progress.phase("rollback", spec.environment),
    ):
        return target.rollback(spec)


def status(spec: Spec) -> Deployment | None:
    """Return what runs for `spec`, or None."""
    return target_registry.get(spec.target).status(spec)


def logs(spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
    """Yield the last `tail` lines of the log; with `follow`, then new lines as they come."""
    return target_registry.get(spec.target).logs(spec, tail, follow)


def destroy(spec: Spec) -> tuple[Step, ...]:
    """Remove what was deployed for `spec`; return the steps taken."""
    return target_registry.get(spec.target).destroy(spec)


def list_flows(project: Project) -> list[dict[str, Any]]:
    """Return a row for each flow: kind, environments, connections, image tag, built or not."""
    return [_create_flow_row(project, flow) for flow in configuration.load_flows(project)]


def format_step(step: Step) -> str:
    """Return a step of a plan as one line of text."""
    if step.action == "note":
        return step.why
    values = [step.before, step.after] if step.before != step.after else []
    change = " → ".join(value for value in values if value)
    return f"{step.action} {step.what}{f': {change}' if change else ''} ({step.why})"


def lock_requirements(flows: list[Flow]) -> list[Path]:
    """Write a new lock file for each of `flows`; return the files' paths."""
    written = []
    for flow in flows:
        with progress.log_prefix(flow.name), progress.phase("lock", lock_files.REQUIREMENTS):
            written.append(lock_files.write_lock(flow))
    return written


def create_empty_status_row(spec: Spec, state: str = "not deployed") -> dict[str, str]:
    """Return the status row of a spec that has no deployment."""
    return {
        "flow": spec.flow.name,
        "environment": spec.environment,
        "target": spec.target,
        "state": state,
    }


def create_status_rows(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the status rows of `deployment`: one for each version that runs at the same time."""
    row = {**to_dict(deployment), "share": ""}
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
        for share in deployment.shares
    ] or [row]


def create_smoke_rows(
    passed: Iterable[tuple[Spec, SmokeResult]], failed: Iterable[Spec]
) -> list[dict[str, str]]:
    """Return a row for each flow whose sample was scored: its status and the seconds."""
    passed_rows = [(spec, "healthy", f"{proof.seconds:.2f}") for spec, proof in passed]
    failed_rows = [(spec, "failed", "") for spec in failed]
    return [
        {"flow": spec.flow.name, "status": status, "seconds": seconds}
        for spec, status, seconds in passed_rows + failed_rows
    ]


def to_dict(value: Any) -> Any:
    """Return a dataclass of `core.entities` as plain data for JSON; other values as they are."""
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]


def _read_running_digest(spec: Spec) -> str:
    """Return the digest of the image that runs for `spec`."""
    deployment = _require_deployment(spec)
    if not deployment.digest:
        message = "what runs there did not come from a registry"
        hint = f"`inv push --env {spec.environment}`, then name its file with --image"
        raise DeployError(spec.name, message, hint)
    return deployment.digest


def _apply(planned: Plan, wait: bool) -> Deployment:
    spec = planned.spec
    target = target_registry.get(spec.target)

    def prove(url: str, headers: Mapping[str, str]) -> None:
        _score(spec, url, headers)

    return target.apply(planned, prove, wait)


@contextlib.contextmanager
def _lock_deployment(project: Project, spec: Spec) -> Iterator[None]:
    """Raise `DeployError` while another deploy of the same spec runs from this checkout."""
    folder = project.root / ".build"
    folder.mkdir(exist_ok=True)
    with (folder / f"{spec.flow.name}-{spec.environment}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "another deploy of it is under way"
            raise DeployError(spec.name, message, "wait for it, then try again") from None
        yield


def _require_deployment(spec: Spec) -> Deployment:
    deployment = status(spec)
    if deployment is None or deployment.state == "stopped":
        hint = f"`inv deploy --flow {spec.flow.name} --env {spec.environment}`"
        raise DeployError(spec.name, "nothing is deployed", hint)
    return deployment


def _score(spec: Spec, url: str, headers: Mapping[str, str]) -> Any:
    target = target_registry.get(spec.target)
    return verification.score_sample(
        spec, url, headers, lambda *response: target.explain_response(spec, *response)
    )


def _create_flow_row(project: Project, flow: Flow) -> dict[str, Any]:
    tag, built = _find_built_tag(project, flow)
    return {
        "flow": flow.name,
        "kind": flow.kind,
        "environments": dict(flow.environments),
        "connections": list(flow.connections),
        "tag": tag,
        "built": built,
    }


def _find_built_tag(project: Project, flow: Flow) -> tuple[str | None, bool]:
    """Return the flow's content tag, and whether an image with that tag exists.

    The tag is None if there is no engine, no base image or no lock file.
    """
    try:
        client = engine.connect()
        base = base_image.find(client, flow.image, project.root)
        if base is None:
            return None, False
        inputs = flow_image.collect_inputs(flow, base, project.root)
    except DeployError:
        return None, False
    return inputs.tag, flow_image.find(client, inputs) is not None
