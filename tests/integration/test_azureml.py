"""The target azureml against an emulated Azure, with real containers: what goes well."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import docker
import pytest

from deploy.cli import tables
from deploy.config import configuration
from deploy.core.errors import DeployError
from deploy.delivery import pipeline
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.workspace import Workspace
from deploy.targets.azureml import naming
from deploy.testing import clients
from deploy.testing.waiting import until
from tests.integration import azureml_project as ml
from tests.integration.azure_fixtures import SignIn, forget
from tests.integration.registry_project import change

pytestmark = pytest.mark.usefixtures("documents_once")

# All of these tests publish there, so that most find their image published.
FOLDER = "azureml"
IDENTITIES = "providers/Microsoft.ManagedIdentity/userAssignedIdentities"


@pytest.fixture
def dev(
    project: configuration.Project,
    azure: Azure,
    acr: Acr,
    workspace: Workspace,
    sign_in: SignIn,
    client: docker.DockerClient,
) -> Iterator[configuration.Project]:
    """The small project, deployed by somebody who may."""
    identity = azure.identity("ci", crflows=["AcrPush", "Reader"], subscription=["Reader"])
    identity.assign_roles(ml.WORKSPACE, "AzureML Data Scientist")
    sign_in(identity)
    yield ml.with_endpoint(project, azure, acr, FOLDER)
    forget(client, azure, FOLDER)


@pytest.mark.bases
def test_a_deploy_creates_reports_and_cleans_up(
    dev: configuration.Project, workspace: Workspace
) -> None:
    planned = ml.plan(dev)
    name, endpoint = f"v-{planned.image.tag}", f"endpoint {ml.endpoint(dev)}"
    assert [row for row in ml.rows(planned) if not row[1].startswith("image ")] == [
        ("create", endpoint),
        ("create", f"deployment {name}"),
        ("change", "traffic"),
    ]
    found = ml.deploy(dev)
    assert [(one.name, one.percent, one.state) for one in found.shares] == [
        (name, 100, "Succeeded")
    ]
    assert {action for action, _ in ml.rows(ml.plan(dev))} == {"keep"}
    # What serves is the image that was built, as the registry has it by that digest.
    (instance,) = workspace.deployment(ml.endpoint(dev), found.name).instances
    assert instance.plan.image == planned.image.id
    assert found.image_id.endswith(f"{FOLDER}/hello@{found.digest}")

    # Since when, and who saw to it.
    (row,) = tables.create_status_rows(found)
    tags = workspace.endpoint(ml.endpoint(dev)).tags
    assert row["created"] == tags[naming.SINCE_TAG]
    assert row["by"]
    # Where somebody has moved requests by hand, nobody knows since when.
    tags[naming.SHARES_TAG] = "v-other 100"
    assert tables.create_status_rows(ml.status(dev))[0]["created"] == ""

    removed = pipeline.destroy(ml.spec(dev))
    assert [(row.action, row.what) for row in removed] == [
        ("remove", f"deployment {name}"),
        ("remove", endpoint),
    ]
    assert workspace.endpoints == {}


def test_an_update_ramps_up_and_a_rollback_is_immediate(
    dev: configuration.Project, workspace: Workspace
) -> None:
    first = ml.deploy(dev)
    change(dev, "# the second")
    with clients.run_clients(first.url, ml.headers(dev)) as calls:
        second = ml.deploy(dev)
        assert [(one.name, one.percent) for one in second.shares] == [
            (f"v-{second.tag}", 100),
            (f"v-{first.tag}", 0),
        ]
        assert [shares for shares, _ in workspace.endpoint(ml.endpoint(dev)).history] == [
            {first.name: 100},
            {first.name: 90, second.name: 10},
            {first.name: 50, second.name: 50},
            {second.name: 100},
        ]
        before = len(workspace.writes)
        back = pipeline.rollback(dev, ml.spec(dev))
        assert (back.tag, back.name) == (first.tag, first.name)
        assert workspace.writes[before:] == [f"PUT onlineEndpoints/{ml.endpoint(dev)}"]
        # Back is where one came from, so that a second time leads forward again.
        assert pipeline.rollback(dev, ml.spec(dev)).tag == second.tag
        change(dev, "# the third")
        third = ml.deploy(dev)
    assert calls.lost == []
    assert calls.answered
    # One earlier version is kept, and the one before that is gone.
    assert [one.name for one in third.shares] == [third.name, second.name]


def test_a_setting_changes_the_version_and_the_plan_says_which(
    dev: configuration.Project,
) -> None:
    first = ml.deploy(dev)
    dev = dataclasses.replace(dev, environ={"MY_TOKEN": "token-that-nobody-may-see"})
    ml.declare(
        dev,
        env={"clear": {"COLOUR": "green"}, "secret": ["MY_TOKEN"]},
        plain_secrets=True,
        request_timeout=20,
    )
    planned = ml.plan(dev)
    shown = {step.what: (step.before, step.after) for step in planned.steps}
    assert shown["env.COLOUR"] == ("-", "green")
    assert shown["env.MY_TOKEN"] == ("-", "***")
    assert shown["request_timeout"] == ("180 s", "20 s")
    assert "token-that-nobody-may-see" not in json.dumps(vars(planned.steps[0]))
    assert "token-that-nobody-may-see" not in repr(planned)
    second = ml.deploy(dev)
    # The same image, so a number makes the name another one.
    assert (second.tag, second.name) == (first.tag, f"{first.name}-2")
    assert second.digest == first.digest
    assert not ml.plan(dev).has_changes


def test_instances_and_their_rule_change_in_place(
    dev: configuration.Project, workspace: Workspace, azure: Azure
) -> None:
    azure.directory.list_identities()[0].assign_roles("group", "Contributor")
    first = ml.deploy(dev)
    ml.declare(dev, instance_count=2)
    assert ("change", "instance_count") in ml.rows(ml.plan(dev))
    scaled = ml.deploy(dev)
    assert scaled.name == first.name
    assert workspace.deployment(ml.endpoint(dev), first.name).capacity == 2
    ml.declare(dev, autoscale={"min": 1, "max": 3, "cpu": 70})
    rule = f"autoscale {ml.endpoint(dev)}-{first.name}"
    assert ("create", rule) in ml.rows(ml.plan(dev))
    ml.deploy(dev)
    assert ("keep", rule) in ml.rows(ml.plan(dev))
    assert not ml.plan(dev).has_changes
    (setting,) = azure.autoscale.settings.values()
    (profile,) = setting["properties"]["profiles"]
    assert profile["capacity"] == {"minimum": "1", "maximum": "3", "default": "1"}
    ml.declare(dev, autoscale={"min": 1, "max": 4, "cpu": 70})
    assert ("change", rule) in ml.rows(ml.plan(dev))
    pipeline.destroy(ml.spec(dev))
    assert not azure.autoscale.settings


def test_clients_authenticate_with_an_entra_token(
    dev: configuration.Project, workspace: Workspace
) -> None:
    ml.declare(dev, auth="entra")
    found = ml.deploy(dev)
    assert found.auth == "entra"
    assert pipeline.run_smoke_test(ml.spec(dev)).answer == {"answer": "you asked why?"}
    # Nobody has asked for a key, which such an endpoint has not got.
    assert not workspace.arm.server.requests("POST", "listKeys")
    ml.declare(dev, auth="key")
    with pytest.raises(DeployError, match="`auth` of an endpoint cannot change from entra to key"):
        ml.plan(dev)


def test_a_copy_of_the_requests_comes_first(
    dev: configuration.Project, workspace: Workspace
) -> None:
    first = ml.deploy(dev)
    change(dev, "# mirrored")
    ml.declare(dev, mirror=20, rollout=[100])
    assert ("change", "mirror") in ml.rows(ml.plan(dev))
    with clients.run_clients(first.url, ml.headers(dev)) as calls:
        second = ml.deploy(dev)
    assert calls.lost == []
    assert workspace.endpoint(ml.endpoint(dev)).history[-2:] == [
        ({first.name: 100}, {second.name: 20}),
        ({second.name: 100}, {}),
    ]


def test_without_waiting_the_next_run_continues(
    dev: configuration.Project, workspace: Workspace
) -> None:
    with workspace.hold_operations():
        assert ml.deploy(dev, wait=False).state == "starting"
        assert ml.status(dev).state == "starting"
    until(lambda: workspace.endpoint(ml.endpoint(dev)).state == "Succeeded")
    with workspace.hold_operations():
        # The endpoint is there; now its deployment begins.
        assert ml.deploy(dev, wait=False).state == "starting"
        assert workspace.endpoint(ml.endpoint(dev)).deployments
    found = ml.deploy(dev)
    assert found.state == "healthy"
    assert len(found.shares) == 1


def test_the_log_is_followed(dev: configuration.Project) -> None:
    found = ml.deploy(dev)
    spec = ml.spec(dev)
    known = list(pipeline.logs(spec, 100))
    assert any("serve score 200" in line for line in known)
    lines = pipeline.logs(spec, 100, follow=True)
    assert [next(lines) for _ in known] == known
    pipeline.run_smoke_test(spec, found)
    # Only what is new comes after what was there.
    new = next(line for line in lines if "serve score 200" in line)
    assert new not in known


def test_a_user_assigned_identity(
    dev: configuration.Project, azure: Azure, workspace: Workspace
) -> None:
    who = azure.identity("id-flows", crflows=["AcrPull"])
    ml.declare_place(dev, identity=f"{azure.arm.group}/{IDENTITIES}/{who.name}")
    found = ml.deploy(dev)
    (instance,) = workspace.deployment(ml.endpoint(dev), found.name).instances
    assert instance.plan.variables["AZURE_CLIENT_ID"] == who.client_id
    assert not ml.plan(dev).has_changes
