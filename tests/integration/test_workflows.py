"""Every line of every workflow and pipeline, run in order against an emulated Azure.

A pull request, a push to main, the promotion to production, a rollback and a look at what drifted, by
GitHub's workflows and by Azure DevOps' pipelines, in one history of one repository. With `pytest -s` a
table shows all that was run. The tests here follow one another.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.config.target import is_spec_for
from deploy.core import output
from deploy.sandbox.sandbox import Sandbox
from deploy.targets import appservice, azureml
from deploy.targets.appservice.naming import app_name
from deploy.targets.azureml.naming import DIGEST_TAG, endpoint_name
from tests import projects
from tests.unit.infra import az_answers
from tests.workflows import azure_devops, github
from tests.workflows.world import ELSEWHERE, Done, World

# The flows of this history: one that is delivered, one with a model, and one that nobody changes.
DELIVERED, ASKING, TWIN = "faq", "rewrite", "notes"
FILES = ("*.yml", "templates/*.yml")


@pytest.fixture(scope="module")
def world(registry_program: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("workflows")
    with Sandbox(_checkout(folder / "flow-deploy")) as sandbox:
        az_answers.install(folder / "programs", {"bicep": {}})
        made = World(sandbox, folder, programs=folder / "programs")
        yield made
        print()
        output.print_table(made.rows())
        print(f"\n{sum(one.seconds for one in made.done):.0f} s")


def _checkout(folder: Path) -> Path:
    """Return a copy of this repository with fewer flows, two of which go to Azure."""
    projects.copy_repository(folder)
    for path in (folder / "flows").iterdir():
        if path.name not in (DELIVERED, ASKING):
            shutil.rmtree(path)
    twin = folder / "flows" / TWIN
    shutil.copytree(folder / "flows" / DELIVERED, twin)
    data = YAML(typ="safe").load(twin / "deploy.yaml")
    # Evaluating one flow is enough.
    del data["evaluation"]
    data["environments"] = {"dev": {"target": "azureml"}}
    YAML().dump(data, twin / "deploy.yaml")
    return folder


@pytest.fixture(scope="module")
def change(world: World) -> str:
    """Change two flows on a branch, as a pull request does; return the commit."""
    world.git("checkout", "-q", "-b", "change")
    world.sandbox.edit_flow(DELIVERED)
    world.sandbox.edit_flow(ASKING)
    made = world.commit("two flows get better")
    world.git("checkout", "-q", "main")
    return made


def test_azure_devops_delivers_all_there_is(world: World) -> None:
    run = _azure_devops(world, "a first push")
    assert run.pipeline("deliver.yml") == "success", _said(world)
    assert run.ended == dict.fromkeys(("dev / build", "dev / deliver", "prod / deliver"), "success")
    world.first, _ = _running(world, "prod")
    assert world.first.startswith("sha256:")
    assert _running(world, "dev")[0] == world.first
    assert _running(world, "dev", TWIN)[0] != world.first


def test_github_tests_the_flows_of_a_pull_request(world: World, change: str) -> None:
    event = {"pull_request": {"base": {"sha": world.git("rev-parse", "main")}}}
    run = _github(world, "a pull request", event, world.merge_of(change))
    assert run.workflow("pull-request.yml") == "success", _said(world)
    assert {name: end for name, end in run.ended.items() if name.startswith("flow ")} == {
        f"flow ({DELIVERED})": "success",
        f"flow ({ASKING})": "success",
    }
    tested = [one for one in _lines_of(world) if "inv test" in one.command]
    assert [("(stand-in model)" in one.printed) for one in tested] == [False, True]
    assert run.ended["test"] == "skipped", "the tool did not change"
    # No job could have been anybody in Azure.
    assert not any(name.startswith("ACTIONS_ID") for job in world.jobs for name in job.machine)


def test_github_delivers_what_changed_and_promotes_the_very_same_image(
    world: World, change: str
) -> None:
    twin, before = _running(world, "dev", TWIN), world.git("rev-parse", "main")
    world.git("merge", "-q", "--ff-only", "change")
    run = _github(world, "a push", {"before": before}, change)
    assert run.workflow("deliver.yml") == "success", _said(world)
    assert run.ended == {
        "dev / flows": "success",
        f"dev / deliver ({DELIVERED})": "success",
        "dev": "success",
        "prod / flows": "success",
        f"prod / deliver ({DELIVERED})": "success",
        "prod": "success",
    }
    assert _running(world, "dev")[0] == _running(world, "prod")[0] != world.first
    assert _running(world, "dev", TWIN) == twin


def test_github_delivers_nothing_where_no_flow_changed(world: World) -> None:
    now = world.git("rev-parse", "main")
    run = _github(world, "a push of other files", {"before": now}, now)
    assert run.workflow("deliver.yml") == "success", _said(world)
    skipped = {"dev / deliver": "skipped", "prod / deliver": "skipped"}
    assert run.ended == {**skipped, "dev": "success", "prod": "success"} | dict.fromkeys(
        ("dev / flows", "prod / flows"), "success"
    )


def test_github_does_not_let_a_flow_pass_that_cannot_be_built(world: World) -> None:
    """The check that is required fails, whatever the flows are called."""
    main = world.git("rev-parse", "main")
    world.git("checkout", "-q", "-b", "broken")
    (world.origin / "flows" / TWIN / "requirements.lock").unlink()
    broken = world.commit("a flow without its lock")
    world.git("checkout", "-q", "main")
    event = {"pull_request": {"base": {"sha": main}}}
    run = _github(world, "a pull request that breaks a flow", event, world.merge_of(broken))
    assert run.workflow("pull-request.yml") == "failure"
    assert run.ended["flow (notes)"] == "failure"
    assert run.ended["passed"] == "failure"


def test_drift_begins_with_a_changed_setting(world: World) -> None:
    run = _github(world, "drift", {}, world.git("rev-parse", "main"))
    assert run.workflow("drift.yml") == "success", _said(world)
    with _changed_by_hand(world.sandbox):
        run = _github(world, "drift of a setting", {}, world.git("rev-parse", "main"))
        assert run.workflow("drift.yml") == "failure"
        assert run.ended == {"drift (dev)": "success", "drift (prod)": "failure"}
        assert [one.status for one in _lines_of(world)] == [0, 2]
        other = _azure_devops(world, "drift of a setting")
        assert other.pipeline("drift.yml") == "failure"
        assert other.ended == {"dev / drift": "success", "prod / drift": "failure"}
        # Neither stage depends on the other.
        assert sorted(one.status for one in _lines_of(world)) == [0, 2]
    other = _azure_devops(world, "drift")
    assert other.pipeline("drift.yml") == "success", _said(world)


def test_github_brings_the_version_before_back(world: World) -> None:
    run = _github(world, "a rollback", {}, world.git("rev-parse", "main"))
    inputs = {"environment": "prod", "flow": DELIVERED}
    assert run.workflow("rollback.yml", inputs) == "success", _said(world)
    assert _running(world, "prod")[0] == world.first != _running(world, "dev")[0]


def test_azure_devops_tests_the_flows_of_a_pull_request(world: World) -> None:
    world.git("checkout", "-q", "-b", "other")
    world.sandbox.edit_flow(DELIVERED)
    commit = world.commit("one flow gets better still")
    world.git("checkout", "-q", "main")
    run = _azure_devops(world, "a pull request", world.merge_of(commit))
    assert run.pipeline("pull-request.yml") == "success", _said(world)
    assert {name: end for name, end in run.ended.items() if name.startswith("flow ")} == {
        f"flow {DELIVERED}": "success"
    }


def test_azure_devops_delivers_only_missing_images(world: World) -> None:
    """Of what dev has nothing is done; production has the version before, and gets the newer one."""
    dev, twin = _running(world, "dev"), _running(world, "dev", TWIN)
    run = _azure_devops(world, "another push")
    assert run.pipeline("deliver.yml") == "success", _said(world)
    assert _running(world, "dev") == dev
    assert _running(world, "dev", TWIN) == twin
    assert _running(world, "prod")[0] == dev[0]


def test_azure_devops_brings_the_version_before_back(world: World) -> None:
    run = _azure_devops(world, "a rollback")
    ended = run.pipeline("rollback.yml", environment="prod", flow=DELIVERED)
    assert ended == "success", _said(world)
    assert _running(world, "prod")[0] == world.first


@pytest.mark.parametrize(
    ("system", "folder"), [("GitHub", github.FOLDER), ("Azure DevOps", azure_devops.FOLDER)]
)
def test_every_line_was_run(world: World, system: str, folder: str) -> None:
    """Last: what was not run above, and is not known to be run elsewhere, stands there unproved."""
    files = [path for pattern in FILES for path in (world.origin / folder).glob(pattern)]
    written = {line for path in files for line in _written(YAML(typ="safe").load(path))}
    # What a template is given stands where it is given.
    written -= {"${{ parameters.script }}"}
    assert written - {one.command for one in world.done if one.system == system} == set(ELSEWHERE)
    assert world.sandbox.azure.problems() == []


@contextlib.contextmanager
def _changed_by_hand(sandbox: Sandbox) -> Iterator[None]:
    """Let a setting of production be another one inside of the block."""
    (spec,) = sandbox.specs("prod", DELIVERED)
    assert is_spec_for(spec, appservice.TARGET)
    config = sandbox.azure.web.sites[app_name(spec).lower()].production.config
    before, config["alwaysOn"] = config["alwaysOn"], not config["alwaysOn"]
    yield
    config["alwaysOn"] = before


def _github(world: World, scenario: str, event: dict[str, Any], commit: str) -> github.Run:
    world.begin(scenario, "GitHub")
    return github.Run(world, commit, event)


def _azure_devops(world: World, scenario: str, commit: str = "main") -> azure_devops.Run:
    world.begin(scenario, "Azure DevOps")
    return azure_devops.Run(world, world.git("rev-parse", commit))


def _lines_of(world: World) -> list[Done]:
    """Return the lines of the scenario that was begun last."""
    now = (world.scenario, world.system)
    return [one for one in world.done if (one.scenario, one.system) == now]


def _said(world: World) -> str:
    return "\n".join(one.printed for one in _lines_of(world))


def _running(world: World, environment: str, flow: str = DELIVERED) -> tuple[str, object]:
    """Return the digest that serves a flow, and what serves it: another one after each deploy."""
    (spec,) = world.sandbox.specs(environment, flow)
    azure = world.sandbox.azure
    if is_spec_for(spec, appservice.TARGET):
        site = azure.web.sites[app_name(spec).lower()].production
        return site.image.partition("@")[2], site.image
    assert is_spec_for(spec, azureml.TARGET)
    workspace = azure.find_workspace(spec.place.workspace)
    ((name, share),) = workspace.live_traffic(endpoint_name(spec)).items()
    deployment = workspace.deployment(endpoint_name(spec), name)
    assert share == 100
    return deployment.tags[DIGEST_TAG], deployment.instances[0]


def _written(node: Any) -> Iterator[str]:
    """Yield every line that a file of a CI system runs, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "script", "inlineScript") and isinstance(value, str):
                yield value
            else:
                yield from _written(value)
    elif isinstance(node, list):
        for value in node:
            yield from _written(value)
