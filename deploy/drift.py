"""What runs beside what the configuration says: a plan for the very image that runs, and no more.

It only reads. What a deploy of that image would change is what somebody else has changed, or what
the configuration says since, and was not deployed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from deploy import config, console, images, targets
from deploy.config import Project
from deploy.errors import DeployError, Problem, Refusal
from deploy.infra import comparison
from deploy.infra import wanted as infra
from deploy.model import Deployment, Image, Spec, Step
from deploy.registry import remote


@dataclass(frozen=True)
class Finding:
    """One difference. `drift` is False for what one should know and is none.

    `flow` is `-` for what is of the whole environment. `there` and `configured` are for people.
    """

    flow: str
    what: str
    there: str
    configured: str
    why: str
    drift: bool = True


def looks(
    project: Project, environment: str, specs: Iterable[Spec], whole: bool
) -> list[Callable[[], list[Finding]]]:
    """Return what is to be looked at, each by itself; `whole` adds the environment's own."""
    found: list[Callable[[], list[Finding]]] = [partial(of_flow, project, spec) for spec in specs]
    return [*found, partial(of_infrastructure, project, environment)] if whole else found


def of_flow(project: Project, spec: Spec) -> list[Finding]:
    """Return how what runs for `spec` differs from its configuration. Raises `DeployError`."""
    target = targets.get(spec.target)
    target.check(spec)
    name = spec.flow.name
    with console.about(name), console.phase("drift", spec.environment) as phase:
        found = target.status(spec)
        if found is None:
            findings = [Finding(name, "deployment", "", spec.target, "nothing is deployed")]
        else:
            try:
                steps = target.plan(spec, _running(spec, found)).steps
                findings = [_finding(name, one) for one in steps if _tells(one)]
            except Refusal as refused:
                findings = [_refused(name, one) for one in refused.problems]
            findings += _content(project, spec, found)
        count = sum(one.drift for one in findings)
        phase.result = f"differences: {count}" if count else "as configured"
    return findings


def of_infrastructure(project: Project, environment: str) -> list[Finding]:
    """Return how infrastructure differs from the request; nothing where none is described."""
    outline = config.load_outline(project, environment)
    if outline.place.infra is None:
        return []
    return [
        Finding("-", one.what, one.there, one.requested, f"{one.finding}: {one.why}")
        for one in comparison.compare(infra.load(project, environment))
    ]


def problem(found: Finding, environment: str) -> Problem:
    """Return a difference as a sentence, beside the file where it is configured."""
    what = found.what
    if found.there != found.configured:
        what += f" is {found.there or 'nothing'}, and should be {found.configured or 'nothing'}"
    what += f" ({found.why})" if found.why else ""
    if found.flow == "-":
        hint = f"`inv infra.check --env {environment}` tells more, `inv infra.apply` mends it"
        return Problem(f"{config.ENVIRONMENTS}: {environment}", what, hint)
    where = f"flows/{found.flow}/{config.DEPLOY}: environments.{environment}"
    hint = f"`inv deploy --env {environment} --flow {found.flow}` brings it back"
    return Problem(where, what, hint)


def _running(spec: Spec, found: Deployment) -> Image:
    """Return the image that runs, as the environment's registry has it, or as the target says."""
    said = Image(
        repository=spec.flow.name,
        tag=found.tag,
        id=found.image_id,
        platform=spec.flow.image.platform,
        base="",
        commit=found.commit,
        digest=found.digest or None,
    )
    if not (spec.place.registry and found.digest):
        return said
    where = remote.of(spec.flow.name, spec.place, spec.environment)
    there = where.find(spec.flow, found.digest)
    if there is None:
        what = f"it has no image {found.digest} any more, which runs: no new instance could start"
        raise Refusal(where.name, what)
    return there


def _tells(step: Step) -> bool:
    by_hand = step.action == "note" and step.what != "note"
    return (step.changes and not step.means) or by_hand


def _finding(flow: str, step: Step) -> Finding:
    return Finding(flow, step.what, step.before, step.after, step.why)


def _refused(flow: str, problem: Problem) -> Finding:
    return Finding(flow, f"{problem.where}: {problem.what}", "", "", problem.hint)


def _content(project: Project, spec: Spec, found: Deployment) -> list[Finding]:
    """Return a note where this checkout has other content than what runs."""
    # Without an engine, nobody may know; it is no more than a note.
    with contextlib.suppress(DeployError):
        _, tag = images.content(spec.flow, project.root)
        if tag and tag != found.tag:
            why = "note: this checkout has other content than what runs"
            return [Finding(spec.flow.name, "content", found.tag, tag, why, drift=False)]
    return []
