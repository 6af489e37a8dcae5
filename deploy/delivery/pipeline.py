"""The steps of a delivery in order: configuration → spec → image → plan → apply → verify."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.config import target_registry
from deploy.config.configuration import Project
from deploy.config.target import AnyPlan, AnySpec, SmokeTest
from deploy.core import output, progress
from deploy.core.entities import Deployment, Image, Step
from deploy.core.errors import DeployError
from deploy.delivery import publication, resolve_image
from deploy.registry import image_repository, promotion
from deploy.supply_chain.image_verification import records
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


def plan(project: Project, spec: AnySpec, image_file: Path | None = None) -> AnyPlan:
    """Build the image if needed; return what deploying it would change. Push nothing."""
    target = target_registry.get(spec.target)
    target.check(spec)
    with _build_lock:
        image = resolve_image.resolve_for_plan(project, spec, image_file)
    with progress.log_prefix(spec.flow.name):
        planned = target.plan(spec, image)
        image_steps = _plan_image(spec, image, image_file)
        return dataclasses.replace(planned, steps=(*image_steps, *planned.steps))


def deploy(
    project: Project,
    spec: AnySpec,
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
            _show_plan(planned)
            # Without changes, `apply` still cleans up after an incomplete earlier deployment.
            deployment = target.apply(planned, _smoke_test(spec), wait)
            if not planned.has_changes:
                run_smoke_test(spec, deployment)
            return deployment


def run_smoke_test(spec: AnySpec, deployment: Deployment | None = None) -> SmokeResult:
    """Score the sample against `deployment`, by default the one that runs for `spec`."""
    deployment = deployment or _require_deployment(spec)
    headers = target_registry.get(spec.target).headers(spec)
    with progress.phase("smoke", f"scoring {spec.flow.sample.name}"):
        start = time.monotonic()
        answer = _score(spec, deployment.url, headers)
        return SmokeResult(
            deployment.url, deployment.auth, answer, round(time.monotonic() - start, 3)
        )


def promote(
    source: AnySpec,
    target: AnySpec,
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
        source_repository = image_repository.open_repository(source)
        target_repository = image_repository.open_repository(target)
        if image_file:
            digest = resolve_image.read_image_reference(project, flow, image_file).digest
        else:
            digest = _read_running_digest(source)
            if running := source_repository.find(flow, digest):
                resolve_image.verify_image(project, source, running, trust_registry)
        promoted = promotion.promote(flow, digest, source_repository, target_repository)
        publication.write_image_reference(project.root, flow, promoted)
        return promoted


def rollback(project: Project, spec: AnySpec) -> Deployment:
    """Return to the previous version; return the deployment that serves then."""
    target = target_registry.get(spec.target)
    with (
        _lock_deployment(project, spec),
        progress.log_prefix(spec.flow.name),
        progress.phase("rollback", spec.environment),
    ):
        return target.rollback(spec)


def status(spec: AnySpec) -> Deployment | None:
    """Return the deployment of `spec`, or None."""
    return target_registry.get(spec.target).status(spec)


def logs(spec: AnySpec, tail: int, follow: bool = False) -> Iterator[str]:
    """Yield the last `tail` lines of the log; with `follow`, then new lines as they come."""
    return target_registry.get(spec.target).logs(spec, tail, follow)


def destroy(spec: AnySpec) -> tuple[Step, ...]:
    """Remove the deployment of `spec`; return the steps taken."""
    return target_registry.get(spec.target).destroy(spec)


def _plan_image(spec: AnySpec, image: Image, image_file: Path | None) -> tuple[Step, ...]:
    """Return the step that publishes `image`, or a note if a deployment must verify it first."""
    if image.digest:
        if image_file or records.has(records.VERIFIED, spec.flow.name, image):
            return ()
        why = "not verified on this machine: a deployment first compares it with the flow's files"
        return (Step("note", "note", "", "", why),)
    if not spec.place.registry:
        return ()
    name = image_repository.open_repository(spec).name
    return (Step("create", f"image {name}:{image.tag}", "", "", "not in the registry yet"),)


def _show_plan(planned: AnyPlan) -> None:
    for step in planned.steps:
        progress.note("plan", str(step))
    output.add_table(
        [vars(step) for step in planned.steps], PLAN_COLUMNS, f"Plan of {planned.spec.name}"
    )


def _smoke_test(spec: AnySpec) -> SmokeTest:
    """Return the test that a new version must pass before it receives traffic."""

    def score(url: str, headers: Mapping[str, str]) -> None:
        _score(spec, url, headers)

    return score


def _score(spec: AnySpec, url: str, headers: Mapping[str, str]) -> Any:
    target = target_registry.get(spec.target)
    return verification.score_sample(
        spec, url, headers, lambda *response: target.explain_response(spec, *response)
    )


def _require_deployment(spec: AnySpec) -> Deployment:
    deployment = status(spec)
    if deployment is None or deployment.state == "stopped":
        raise DeployError(spec.name, "nothing is deployed", f"run `inv deploy {spec.options}`")
    return deployment


def _read_running_digest(spec: AnySpec) -> str:
    """Return the digest of the image that runs for `spec`."""
    deployment = _require_deployment(spec)
    if not deployment.digest:
        message = "the running image did not come from a registry"
        hint = f"run `inv push --env {spec.environment}`, and pass its file with --image"
        raise DeployError(spec.name, message, hint)
    return deployment.digest


@contextlib.contextmanager
def _lock_deployment(project: Project, spec: AnySpec) -> Iterator[None]:
    """Raise `DeployError` while another deployment of the spec runs from this checkout."""
    folder = project.root / ".build"
    folder.mkdir(exist_ok=True)
    with (folder / f"{spec.flow.name}-{spec.environment}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "another deployment of this flow is in progress"
            hint = "wait until it ends, and run the command again"
            raise DeployError(spec.name, message, hint) from None
        yield
