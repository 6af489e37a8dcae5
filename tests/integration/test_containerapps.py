"""The example of an extension, with real containers: its behaviour beyond the contract of targets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config import json_schema, target_registry
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PULL, SECRETS_USER, Identity
from deploy.testing import clients, scripted_project
from deploy.testing.scripted_project import ScriptedProject
from tests import projects
from tests.integration import appservice_project as web
from tests.integration import containerapps_project as apps
from tests.integration import installed_extension, scripted_flow
from tests.integration.azure_fixtures import SignIn
from tests.integration.containerapps_project import APP


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("extension")
    with installed_extension.installed(folder, installed_extension.EXAMPLE):
        yield folder


@pytest.fixture
def identity(azure: Azure, acr: Acr) -> Identity:
    """The identity of apps, and what else infrastructure makes."""
    return apps.stand(azure)


@pytest.fixture
def dev(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    azure: Azure,
    scripted_images: tuple[Image, ...],
    sign_in: SignIn,
    installed: Path,
    identity: Identity,
) -> ScriptedProject:
    """A project that deploys to a container app, with an identity that may."""
    sign_in(apps.deployer(azure))
    acr = azure.registry(scripted_flow.REGISTRY)
    place = {**azure.place(acr, scripted_flow.FOLDER), **apps.place(azure)}
    made = scripted_project.make(tmp_path / "project", scripted_images, apps.SETTINGS, place)
    monkeypatch.chdir(made.project.root)
    return made


def active(azure: Azure) -> list[str]:
    """Return the revisions that run."""
    return [one.name for one in azure.apps.apps[APP].revisions.values() if one.active]


def test_two_versions_run_and_the_traffic_names_them(dev: ScriptedProject, azure: Azure) -> None:
    first = dev.deploy()
    assert active(azure) == [first.name]
    assert azure.apps.writes == [f"PUT {APP}", f"PATCH {APP}"]
    dev.declare("green")
    second = dev.deploy()
    assert second.name.startswith(f"{APP}--r{second.tag}-")
    assert [(one.name, one.percent, one.state) for one in second.shares] == [
        (first.name, 0, "healthy"),
        (second.name, 100, "healthy"),
    ]
    back = dev.rollback()
    assert (back.name, dev.colour(back.url)) == (first.name, "blue")
    # The first is what was before the third, and nobody needs the second any more.
    dev.declare("red")
    third = dev.deploy()
    assert active(azure) == [first.name, third.name]
    assert dev.colour(third.url) == "red"


def test_a_failed_revision_is_reported_and_stopped(dev: ScriptedProject, azure: Azure) -> None:
    dev.declare(broken="mute")
    assert "string expected, not an empty string" in dev.refusal()
    assert dev.status() is None
    assert active(azure) == []
    dev.declare()
    first = dev.deploy()
    dev.declare(broken="crash")
    message = dev.refusal()
    assert f"Azure, {APP}: Azure says ContainerAppOperationError: Failed to provision" in message
    assert "its last lines:" in message
    assert "the weights are missing" in message
    assert active(azure) == [first.name]
    with pytest.raises(DeployError, match="no previous version is running"):
        dev.rollback()


def test_clients_get_the_previous_version_if_the_new_one_is_unreachable(
    dev: ScriptedProject, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dev.deploy()
    app = azure.apps.apps[APP]
    serve = app.serve
    # As if the app's host did not follow its rules.
    monkeypatch.setattr(app, "serve", lambda exchange: app.revisions[first.name].serve(exchange))
    dev.declare("green", start_timeout=2)
    message = dev.refusal()
    assert f"the tag {first.tag}, deployment {first.name.partition('--')[2]} answered" in message
    monkeypatch.setattr(app, "serve", serve)
    assert active(azure) == [first.name]
    assert dev.colour(first.url) == "blue"
    dev.declare()
    assert not dev.plan().has_changes


def test_a_public_app_and_an_app_of_another_owner(dev: ScriptedProject, azure: Azure) -> None:
    dev.declare(auth="public")
    found = dev.deploy()
    assert (found.auth, clients.ask(found.url).status_code) == ("public", 200)
    dev.declare("green")
    second = dev.deploy()
    assert (second.auth, clients.ask(second.url).status_code) == ("key", 401)
    message = "the previous version uses `auth: public`, but deploy.yaml says `auth: key`"
    with pytest.raises(DeployError, match=message):
        dev.rollback()

    azure.apps.apps[APP].tags["flow"] = "another"
    assert f"container app {APP}: it is not of scripted in dev" in dev.refusal()
    with pytest.raises(DeployError, match="it is not of"):
        dev.destroy()
    assert APP in azure.apps.apps


def test_missing_roles_of_the_identity_are_reported(
    dev: ScriptedProject, acr: Acr, identity: Identity
) -> None:
    identity.remove_roles(acr.name, ACR_PULL)
    assert "UNAUTHORIZED" in dev.refusal()
    identity.assign_roles(acr.name, ACR_PULL)
    identity.remove_roles(web.VAULT, SECRETS_USER)
    assert "Unable to get value using Managed identity" in dev.refusal()
    identity.assign_roles(web.VAULT, SECRETS_USER)
    assert dev.deploy().state == "healthy"


def test_problems_are_reported_before_a_deploy(dev: ScriptedProject, azure: Azure) -> None:
    given = {**dev.project.environ, "SEARCH_TOKEN": "not-for-everybody-0123456789"}
    knows = replace(dev, project=replace(dev.project, environ=given))
    dev.declare(env={"secret": ["SEARCH_TOKEN"]})
    assert "SEARCH_TOKEN would be stored as plain text" in knows.refusal()
    dev.declare()
    dev.locate(key_vault=None)
    assert "`auth: key` needs a vault that holds the key" in dev.refusal()
    nobody = f"{dev.place['identity']}-2"
    dev.locate(identity=nobody)
    assert f"there is no {nobody}" in dev.refusal()
    assert not azure.apps.writes


def test_schemas_include_installed_extensions(installed: Path) -> None:
    schema = json_schema.build_schemas(target_registry.all_targets())["docs/schema/deploy.json"]
    choices = schema["properties"]["environments"]["additionalProperties"]["oneOf"]
    names = [one["properties"]["target"]["const"] for one in choices]
    assert names == ["local", "azureml", "appservice", "containerapps"]


def test_listing_tasks_imports_no_extension(installed: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import tasks; "
        f"assert {installed_extension.MODULE!r} not in sys.modules; "
        "from deploy.config import target_registry; assert 'containerapps' in target_registry.target_names(); "
        f"assert {installed_extension.MODULE!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=installed_extension.ROOT, check=True)


def test_tasks_for_infrastructure_and_advice_list_it(installed: Path, tmp_path: Path) -> None:
    declared = "environments:\n  prod: {target: containerapps, app: hello, auth: key}\n"
    files = {
        "environments.yaml": "prod: {managed_environment: cae, infra: {location: westeurope}}\n",
        "flows/hello/deploy.yaml": declared,
    }
    root = projects.make(tmp_path / "project", files).root
    (root / "deploy").symlink_to(installed_extension.ROOT / "deploy")
    (root / "tasks.py").symlink_to(installed_extension.ROOT / "tasks.py")

    def inv(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "invoke", *arguments],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(installed)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    inv("infra.request", "--env", "prod", "--to", "request.md")
    request = (root / "request.md").read_text("utf-8")
    assert "| Options | Azure Container Apps |" in request
    assert "| Microsoft.App/managedEnvironments | cae | - | runs the apps |" in request
    advice = inv("advise", "--flow", "hello")
    assert "prod: containerapps (Azure Container Apps)\n" in advice
    assert "prod: {target: containerapps, app: hello-prod, auth: key}" in advice
