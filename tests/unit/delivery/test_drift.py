"""Which changes of a plan are drift, with a fake target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration, target_registry
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core.entities import Deployment, Image, Plan, Step
from deploy.core.errors import DeployError, PlanBlocked, Problem
from deploy.delivery import drift, resolve_image
from deploy.delivery.drift import Finding
from deploy.infra import comparison
from deploy.infra.desired import DesiredState
from tests import projects
from tests.unit.targets import appservice_state

RUNS = Deployment(
    flow="hello",
    environment="local",
    target="local",
    state="healthy",
    url="http://127.0.0.1:1",
    auth="none",
    image_id="sha256:1",
    tag="0123456789ab",
    commit="c" * 40,
    created="",
    name="hello",
)


class World:
    """A target that finds what it is told, and has no method that writes."""

    def __init__(self, runs: Deployment | None, *steps: Step, error: Exception | None = None):
        self.runs, self.steps, self.error = runs, steps, error
        self.planned: list[Image] = []

    def check(self, spec: AnySpec) -> None:
        pass

    def status(self, spec: AnySpec) -> Deployment | None:
        return self.runs

    def plan(self, spec: AnySpec, image: Image) -> Plan:
        self.planned.append(image)
        if self.error:
            raise self.error
        return Plan(spec, image, self.steps)


def found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World, tag: str = RUNS.tag
) -> Any:
    project = projects.make(tmp_path, {})
    (spec,) = configuration.load_specs(project, "local")
    with monkeypatch.context() as patch:
        patch.setattr(target_registry, "get", lambda name: world)
        patch.setattr(resolve_image, "find_content_tag", lambda flow, root: tag)
        return drift.compare_flow(project, spec)


def test_a_configured_deployment_is_no_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(RUNS, Step("keep", "container", "a", "a"), Step("note", "note", why="auth: none"))
    assert found(tmp_path, monkeypatch, world) == []
    (planned,) = world.planned
    assert (planned.tag, planned.id, planned.digest) == (RUNS.tag, RUNS.image_id, None)


def test_changes_are_drift_but_their_steps_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(
        RUNS,
        Step("create", "deployment v-2", "", "v", "other settings", implied=True),
        Step("change", "env.SERVE_THREADS", "99", "8", "in deployment v-2"),
        Step("change", "traffic", "v-1 100 %", "v-2 100 %", "watched", implied=True),
        Step("note", "traffic", "v-1 100", "v-0 100", "somebody moved traffic by hand"),
    )
    assert found(tmp_path, monkeypatch, world) == [
        Finding("hello", "env.SERVE_THREADS", "99", "8", "in deployment v-2"),
        Finding("hello", "traffic", "v-1 100", "v-0 100", "somebody moved traffic by hand"),
    ]


def test_other_content_of_the_checkout_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "note: the files in this checkout differ from the deployed content"
    assert found(tmp_path, monkeypatch, World(RUNS), "ba9876543210") == [
        Finding("hello", "content", RUNS.tag, "ba9876543210", why, drift=False)
    ]


def test_nothing_deployed_is_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path, monkeypatch, World(None)) == [
        Finding("hello", "deployment", "", "local", "nothing is deployed")
    ]


def test_a_blocked_plan_is_drift_and_a_read_error_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem("site app-hello", "it has no identity that could pull", "assign one")
    world = World(RUNS, error=PlanBlocked.from_problems([problem]))
    assert found(tmp_path, monkeypatch, world) == [
        Finding("hello", f"site app-hello: {problem.what}", "", "", "assign one")
    ]
    world.error = DeployError("Azure", "it cannot be reached")
    with pytest.raises(DeployError, match="cannot be reached"):
        found(tmp_path, monkeypatch, world)


def test_without_an_engine_the_content_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = projects.make(tmp_path, {})
    (spec,) = configuration.load_specs(project, "local")
    monkeypatch.setattr(target_registry, "get", lambda name: World(RUNS))

    def no_engine(*_: object) -> None:
        raise DeployError("Docker", "no engine answers")

    monkeypatch.setattr(resolve_image, "find_content_tag", no_engine)
    assert drift.compare_flow(project, spec) == []


def test_infrastructure_is_compared_for_whole_environments_only(tmp_path: Path) -> None:
    project: Project = projects.make(tmp_path, {})
    specs = configuration.load_specs(project, "local")
    whole = drift.list_checks(project, "local", specs, whole_environment=True)
    assert (
        len(whole) == len(drift.list_checks(project, "local", specs, whole_environment=False)) + 1
    )
    # Nothing of it is described here.
    assert whole[-1]() == []


def test_differing_infrastructure_is_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = {"infra": {"location": "westeurope"}}
    project = appservice_state.project(tmp_path, {"auth": "key"}, described)
    asked = []

    def compare(wanted: DesiredState) -> list[comparison.Finding]:
        asked.append(wanted.environment)
        return [comparison.Finding("different", "plan: sku", "B1", "P0v3", "two instances")]

    monkeypatch.setattr(comparison, "compare", compare)
    assert drift.compare_infrastructure(project, "dev") == [
        Finding("-", "plan: sku", "B1", "P0v3", "different: two instances")
    ]
    assert asked == ["dev"]


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (
            Finding("hello", "memory", "700m", "1g", "other limits"),
            "flows/hello/deploy.yaml: environments.prod: memory is 700m and should be 1g "
            "(other limits)\n  → restore it: `inv deploy --env prod --flow hello`",
        ),
        (
            Finding("-", "plan: sku", "B1", "P0v3", "different: two instances"),
            "environments.yaml: prod: plan: sku is B1 and should be P0v3 (different: two "
            "instances)\n  → see `inv infra.check --env prod`; correct it with `inv infra.apply`",
        ),
        (
            Finding("hello", "setting X", "", "1", "a slot"),
            "flows/hello/deploy.yaml: environments.prod: setting X is not set and should be 1 "
            "(a slot)\n  → restore it: `inv deploy --env prod --flow hello`",
        ),
        (
            Finding("hello", "container hello", "hello:1f2e", "hello:1f2e", "other limits"),
            "flows/hello/deploy.yaml: environments.prod: container hello (other limits)\n"
            "  → restore it: `inv deploy --env prod --flow hello`",
        ),
        (
            Finding("hello", "site a: it has no identity", "", "", "assign one"),
            "flows/hello/deploy.yaml: environments.prod: site a: it has no identity (assign one)\n"
            "  → restore it: `inv deploy --env prod --flow hello`",
        ),
    ],
)
def test_a_difference_as_text(finding: Finding, expected: str) -> None:
    assert str(drift.create_problem(finding, "prod")) == expected
