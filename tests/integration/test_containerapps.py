"""The example of an extension, a target of Container Apps, against an emulated Azure with real containers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import pipeline, published, targets
from deploy.errors import DeployError
from deploy.model import Image
from tests.emulator.acr import Acr
from tests.emulator.azure import Azure
from tests.emulator.identities import ACR_PULL, SECRETS_USER
from tests.integration import apps_project as apps
from tests.integration import extension
from tests.integration import web_project as web
from tests.integration.apps_project import APP, Standing
from tests.integration.azure_fixtures import LogIn
from tests.integration.web_project import Project


@pytest.fixture(scope="session")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("extension")


@pytest.fixture
def installed(extended: Path) -> Iterator[Path]:
    with extension.installed(extended):
        yield extended


@pytest.fixture
def standing(azure: Azure, acr: Acr) -> Standing:
    return apps.stand(azure, acr)


@pytest.fixture
def dev(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    azure: Azure,
    acr: Acr,
    web_images: tuple[Image, ...],
    log_in: LogIn,
    installed: Path,
    standing: Standing,
) -> Project:
    """A project that deploys to a container app, by somebody who may."""
    log_in(apps.deployer(azure))
    made = web.project(tmp_path / "project", web_images)
    monkeypatch.chdir(made.project.root)
    made.place(azure, acr, app=None, **standing.place)
    apps.declare(made)
    return made


def test_first_then_nothing_then_another_then_back_then_gone(dev: Project, azure: Azure) -> None:
    assert web.rows(dev.plan()) == [("create", f"container app {APP}")]
    assert not azure.apps.writes, "a plan only looks"
    first = dev.deploy()
    assert (first.state, first.auth, first.tag) == ("healthy", "key", dev.images[0].tag)
    assert first.target == "containerapps"
    assert web.colour(first) == "blue"
    for headers in ({}, {"Authorization": "Bearer another-key-of-a-test"}):
        assert web.ask(first.url, **headers).status_code == 401

    writes = len(azure.apps.writes)
    assert not dev.plan().changes
    dev.deploy()
    assert len(azure.apps.writes) == writes, "nothing to change, nothing written"

    apps.declare(dev, "green")
    with web.calling(dev, first.url) as caller:
        second = dev.deploy(image=1)
        assert web.colour(second) == "green"
        back = dev.rollback()
    assert caller.lost == []
    assert caller.colours[0] == "blue"
    assert "green" in caller.colours
    assert (second.tag, back.tag) == (dev.images[1].tag, first.tag)
    assert (back.name, web.colour(back)) == (first.name, "blue")
    assert [(share.name, share.percent, share.state) for share in back.shares] == [
        (first.name, 100, "healthy"),
        (second.name, 0, "healthy"),
    ]
    assert any("score 200" in line for line in pipeline.logs(dev.spec(), 200))

    # A third one: the first was before, and the second is not needed any more.
    apps.declare(dev, "red")
    third = dev.deploy()
    active = [one.name for one in azure.apps.apps[APP].revisions.values() if one.active]
    assert active == [first.name, third.name]

    (step,) = pipeline.destroy(dev.spec())
    assert (step.action, step.what) == ("remove", f"container app {APP}")
    assert azure.apps.apps == {}
    assert pipeline.status(dev.spec()) is None
    assert pipeline.destroy(dev.spec()) == ()


def test_a_start_that_crashes_leaves_what_serves(dev: Project, azure: Azure) -> None:
    first = dev.deploy()
    apps.declare(dev, clear={"BREAK": "crash"})
    with web.calling(dev, first.url) as caller:
        told = dev.refusal()
    assert "Failed to provision revision for container app" in told
    assert "the weights are missing" in told, "the last lines of the container"
    assert web.KEY not in told
    assert (caller.lost, set(caller.colours)) == ([], {"blue"})
    app = azure.apps.apps[APP]
    assert [one.name for one in app.revisions.values() if one.active] == [first.name]
    with pytest.raises(DeployError, match="no earlier version runs to go back to"):
        dev.rollback()
    apps.declare(dev, "green")
    assert web.colour(dev.deploy()) == "green"


def test_a_first_version_that_answers_badly_is_not_deployed(dev: Project, azure: Azure) -> None:
    apps.declare(dev, clear={"BREAK": "mute"})
    dev.project.root.joinpath(f"flows/{web.FLOW}/sample.json").write_text('{"question": "sample"}')
    assert "is not as expected: answer" in dev.refusal()
    assert pipeline.status(dev.spec()) is None
    (revision,) = azure.apps.apps[APP].revisions.values()
    assert not revision.active
    apps.declare(dev)
    found = dev.deploy()
    assert (found.state, web.colour(found)) == ("healthy", "blue")


def test_an_app_that_is_public_or_somebody_elses(dev: Project, azure: Azure) -> None:
    apps.declare(dev, auth="public")
    found = dev.deploy()
    assert (found.auth, web.ask(found.url).status_code) == ("public", 200)
    apps.declare(dev, "green")
    assert dev.deploy().auth == "key"
    apps.declare(dev, "green", auth="public")
    dev.deploy()
    told = "the earlier version lets callers in by key, and deploy.yaml says public"
    with pytest.raises(DeployError, match=told):
        dev.rollback()

    azure.apps.apps[APP].tags["flow"] = "another"
    assert f"container app {APP}: it is not of obedient in dev" in dev.refusal()
    with pytest.raises(DeployError, match="it is not of"):
        pipeline.destroy(dev.spec())
    assert APP in azure.apps.apps


def test_what_an_identity_may_not(dev: Project, acr: Acr, standing: Standing) -> None:
    standing.identity.take(acr.name, ACR_PULL)
    assert "UNAUTHORIZED" in dev.refusal()
    standing.identity.give(acr.name, ACR_PULL)
    standing.identity.take(web.VAULT, SECRETS_USER)
    assert "Unable to get value using Managed identity" in dev.refusal()
    standing.identity.give(web.VAULT, SECRETS_USER)
    assert dev.deploy().state == "healthy"


def test_what_can_be_known_before(
    dev: Project, azure: Azure, acr: Acr, standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCH_TOKEN", "not-for-everybody-0123456789")
    apps.declare(dev, env={"clear": web.CLEAR, "secret": ["SEARCH_TOKEN"]})
    assert "SEARCH_TOKEN would be stored as plain text" in dev.refusal()
    apps.declare(dev)
    dev.place(azure, acr, app=None, **{**standing.place, "key_vault": None})
    assert "`auth: key` needs a vault that holds the key" in dev.refusal()
    nowhere = f"{standing.place['identity']}-2"
    dev.place(azure, acr, app=None, **{**standing.place, "identity": nowhere})
    assert f"there is no {nowhere}" in dev.refusal()
    assert not azure.apps.writes


def test_schemas_have_what_is_installed(installed: Path) -> None:
    assert "containerapps" in targets.every()
    schema = published.schemas(targets.every())["docs/schema/deploy.json"]
    choices = schema["properties"]["environments"]["additionalProperties"]["oneOf"]
    names = [one["properties"]["target"]["const"] for one in choices]
    assert names == ["local", "azureml", "appservice", "containerapps"]


def test_listing_tasks_imports_no_extension(installed: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import tasks; " + (
        f"assert {extension.MODULE!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=extension.ROOT, check=True)
