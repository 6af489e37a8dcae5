"""What the contract of targets does not say of the example of an extension, with real containers."""

from __future__ import annotations

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
from tests.integration import apps_project as apps
from tests.integration import extension, obedient_flow, obedient_project, scoring
from tests.integration import web_project as web
from tests.integration.apps_project import APP
from tests.integration.azure_fixtures import LogIn
from tests.integration.obedient_project import ObedientProject


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("extension")
    with extension.installed(folder, extension.EXAMPLE):
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
    obedient_images: tuple[Image, ...],
    log_in: LogIn,
    installed: Path,
    identity: Identity,
) -> ObedientProject:
    """A project that deploys to a container app, by somebody who may."""
    log_in(apps.deployer(azure))
    acr = azure.registry(obedient_flow.REGISTRY)
    place = {**azure.place(acr, obedient_flow.FOLDER), **apps.place(azure)}
    made = obedient_project.make(tmp_path / "project", obedient_images, apps.SETTINGS, place)
    monkeypatch.chdir(made.project.root)
    return made


def active(azure: Azure) -> list[str]:
    """Return the revisions that run."""
    return [one.name for one in azure.apps.apps[APP].revisions.values() if one.active]


def test_two_versions_run_and_the_traffic_names_them(dev: ObedientProject, azure: Azure) -> None:
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


def test_what_fails_is_told_and_stopped(dev: ObedientProject, azure: Azure) -> None:
    dev.declare(broken="mute")
    assert "string expected, not an empty string" in dev.refusal()
    assert dev.status() is None
    assert active(azure) == []
    dev.declare()
    first = dev.deploy()
    dev.declare(broken="crash")
    told = dev.refusal()
    assert f"Azure, {APP}: Azure says ContainerAppOperationError: Failed to provision" in told
    assert "its last lines:" in told
    assert "the weights are missing" in told
    assert active(azure) == [first.name]
    with pytest.raises(DeployError, match="no earlier version runs to go back to"):
        dev.rollback()


def test_callers_that_do_not_reach_the_new_version_get_the_old_one_back(
    dev: ObedientProject, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dev.deploy()
    app = azure.apps.apps[APP]
    serve = app.serve
    # As if the app's host did not follow its rules.
    monkeypatch.setattr(app, "serve", lambda exchange: app.revisions[first.name].serve(exchange))
    dev.declare("green", start_timeout=2)
    told = dev.refusal()
    assert f"the tag {first.tag}, deployment {first.name.partition('--')[2]} answered" in told
    monkeypatch.setattr(app, "serve", serve)
    assert active(azure) == [first.name]
    assert dev.colour(first.url) == "blue"
    dev.declare()
    assert not dev.plan().has_changes


def test_an_app_that_is_public_or_somebody_elses(dev: ObedientProject, azure: Azure) -> None:
    dev.declare(auth="public")
    found = dev.deploy()
    assert (found.auth, scoring.ask(found.url).status_code) == ("public", 200)
    dev.declare("green")
    second = dev.deploy()
    assert (second.auth, scoring.ask(second.url).status_code) == ("key", 401)
    told = "the earlier version lets callers in by public, and deploy.yaml says key"
    with pytest.raises(DeployError, match=told):
        dev.rollback()

    azure.apps.apps[APP].tags["flow"] = "another"
    assert f"container app {APP}: it is not of obedient in dev" in dev.refusal()
    with pytest.raises(DeployError, match="it is not of"):
        dev.destroy()
    assert APP in azure.apps.apps


def test_what_its_identity_may_not(dev: ObedientProject, acr: Acr, identity: Identity) -> None:
    identity.remove_roles(acr.name, ACR_PULL)
    assert "UNAUTHORIZED" in dev.refusal()
    identity.assign_roles(acr.name, ACR_PULL)
    identity.remove_roles(web.VAULT, SECRETS_USER)
    assert "Unable to get value using Managed identity" in dev.refusal()
    identity.assign_roles(web.VAULT, SECRETS_USER)
    assert dev.deploy().state == "healthy"


def test_what_can_be_known_before(dev: ObedientProject, azure: Azure) -> None:
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


def test_schemas_have_what_is_installed(installed: Path) -> None:
    schema = json_schema.build_schemas(target_registry.all_targets())["docs/schema/deploy.json"]
    choices = schema["properties"]["environments"]["additionalProperties"]["oneOf"]
    names = [one["properties"]["target"]["const"] for one in choices]
    assert names == ["local", "azureml", "appservice", "containerapps"]


def test_listing_tasks_imports_no_extension(installed: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import tasks; "
        f"assert {extension.MODULE!r} not in sys.modules; "
        "from deploy.config import target_registry; assert 'containerapps' in target_registry.target_names(); "
        f"assert {extension.MODULE!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=extension.ROOT, check=True)
