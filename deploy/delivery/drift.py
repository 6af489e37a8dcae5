"""Compare deployments with their configuration. Read-only: a plan for the image that is running.

The changes in that plan come from manual changes in Azure, or from configuration that was not
deployed yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from deploy.config import configuration, target_registry
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core import progress
from deploy.core.entities import Deployment, Image, Step
from deploy.core.errors import DeployError, PlanBlocked, Problem
from deploy.delivery import resolve_image
from deploy.infra import comparison
from deploy.infra import desired as infra
from deploy.registry import image_repository


@dataclass(frozen=True)
class Finding:
    """One difference between a deployment and its configuration."""

    # `-` for a finding about the whole environment.
    flow: str
    what: str
    # Both values as text to read.
    actual: str
    configured: str
    why: str
    # False for a note that is worth reading but is no drift.
    drift: bool = True


def list_checks(
    project: Project, environment: str, specs: Iterable[AnySpec], whole_environment: bool
) -> list[Callable[[], list[Finding]]]:
    """Return independent checks, one for each spec, and one for the infrastructure."""
    checks: list[Callable[[], list[Finding]]] = [
        partial(compare_flow, project, spec) for spec in specs
    ]
    if whole_environment:
        checks.append(partial(compare_infrastructure, project, environment))
    return checks


def compare_flow(project: Project, spec: AnySpec) -> list[Finding]:
    """Return how the deployment of `spec` differs from its configuration. Raise `DeployError`."""
    target = target_registry.get(spec.target)
    target.check(spec)
    name = spec.flow.name
    with progress.log_prefix(name), progress.phase("drift", spec.environment) as phase:
        deployment = target.status(spec)
        if deployment is None:
            findings = [Finding(name, "deployment", "", spec.target, "nothing is deployed")]
        else:
            try:
                steps = target.plan(spec, _find_running_image(spec, deployment)).steps
                findings = [_create_finding(name, item) for item in steps if _is_reported(item)]
            except PlanBlocked as blocked:
                findings = [_create_blocked_finding(name, item) for item in blocked.problems]
            findings += _compare_content(project, spec, deployment)
        count = sum(item.drift for item in findings)
        phase.result = f"differences: {count}" if count else "as configured"
    return findings


def compare_infrastructure(project: Project, environment: str) -> list[Finding]:
    """Return how infrastructure differs from the request; empty if none is configured."""
    draft = configuration.load_environment_draft(project, environment)
    if draft.place.infra is None:
        return []
    return [
        Finding(
            "-",
            difference.what,
            difference.there,
            difference.requested,
            f"{difference.finding}: {difference.why}",
        )
        for difference in comparison.compare(infra.load(project, environment))
    ]


def create_problem(finding: Finding, environment: str) -> Problem:
    """Return a finding as a problem, located at the file that configures it."""
    message = finding.what
    if finding.actual != finding.configured:
        message += (
            f" is {finding.actual or 'not set'} and should be {finding.configured or 'not set'}"
        )
    message += f" ({finding.why})" if finding.why else ""
    if finding.flow == "-":
        hint = f"see `inv infra.check --env {environment}`; correct it with `inv infra.apply`"
        return Problem(f"{configuration.ENVIRONMENTS_FILE}: {environment}", message, hint)
    location = f"flows/{finding.flow}/{configuration.DEPLOY_FILE}: environments.{environment}"
    hint = f"restore it: `inv deploy --env {environment} --flow {finding.flow}`"
    return Problem(location, message, hint)


def _find_running_image(spec: AnySpec, deployment: Deployment) -> Image:
    """Return the running image as found in the registry, or else as the target reports it."""
    reported = Image(
        repository=spec.flow.name,
        tag=deployment.tag,
        id=deployment.image_id,
        platform=spec.flow.image.platform,
        base="",
        commit=deployment.commit,
        digest=deployment.digest or None,
    )
    if not (spec.place.registry and deployment.digest):
        return reported
    repository = image_repository.open_repository(spec)
    published = repository.find(spec.flow, deployment.digest)
    if published is None:
        message = (
            f"the running image {deployment.digest} is no longer there: no new instance can start"
        )
        raise PlanBlocked(repository.name, message)
    return published


def _is_reported(step: Step) -> bool:
    is_manual_step = step.action == "note" and step.what != "note"
    return (step.is_change and not step.implied) or is_manual_step


def _create_finding(flow: str, step: Step) -> Finding:
    return Finding(flow, step.what, step.before, step.after, step.why)


def _create_blocked_finding(flow: str, problem: Problem) -> Finding:
    return Finding(flow, f"{problem.where}: {problem.what}", "", "", problem.hint)


def _compare_content(project: Project, spec: AnySpec, deployment: Deployment) -> list[Finding]:
    """Return a note if the content of this checkout differs from the deployed one."""
    # Without an engine the tag may be unknown; this is only a note, so skip it.
    with contextlib.suppress(DeployError):
        tag = resolve_image.find_content_tag(spec.flow, project.root)
        if tag and tag != deployment.tag:
            why = "note: the files in this checkout differ from the deployed content"
            return [Finding(spec.flow.name, "content", deployment.tag, tag, why, drift=False)]
    return []
