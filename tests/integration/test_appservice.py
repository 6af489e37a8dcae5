"""The target appservice against an emulated Azure, with real containers: what should go well."""

from __future__ import annotations

import pytest

from deploy.config import target_registry
from deploy.config.target import is_spec_for
from deploy.core.errors import DeployError
from deploy.delivery import pipeline
from deploy.sandbox.acr import Acr
from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PULL, SECRETS_USER
from deploy.targets import appservice
from deploy.testing import clients
from deploy.testing.scripted_project import CLEAR, ScriptedProject
from tests.integration import appservice_project as web


def test_settings_of_others_and_sticky_settings_are_kept(
    web_dev: ScriptedProject, web_site: Site
) -> None:
    production, slot = web_site.production, web_site.slot("staging")
    production.settings = {"THEIRS": "1", "REGION": "production"}
    slot.settings = {"REGION": "staging", "STALE": "x"}
    web_site.sticky = {"appSettingNames": ["REGION"], "connectionStringNames": ["DB"]}
    web_dev.declare(env={"clear": {**CLEAR, "LEVEL": "1"}, "sticky": ["LEVEL"]})
    planned = web_dev.plan()
    assert ("remove", "setting STALE of slot staging") in web.rows(planned)
    assert "slot swap" in next(s.why for s in planned.steps if s.what == "production")
    web_dev.deploy()
    web_dev.declare("green")
    found = web_dev.deploy()
    assert [(share.name, share.percent, share.state) for share in found.shares] == [
        ("production", 100, "healthy"),
        ("staging", 0, "healthy"),
    ]

    assert production.settings["THEIRS"] == "1"
    assert production.settings["COLOUR"] == "green"
    assert (production.settings["REGION"], slot.settings["REGION"]) == ("production", "staging")
    assert "LEVEL" not in production.settings, "no longer declared, no longer there"
    assert slot.settings["COLOUR"] == "blue"
    assert "STALE" not in {**production.settings, **slot.settings}
    assert web_site.sticky["appSettingNames"] == ["LEVEL", "REGION"]
    assert web_site.sticky["connectionStringNames"] == ["DB"]
    assert not web_dev.plan().has_changes


def test_a_pending_operation_is_awaited_on_a_busy_site(
    web_dev: ScriptedProject, azure: Azure, web_site: Site
) -> None:
    azure.web.conflict_next(2)
    begun = web_dev.deploy(wait=False)
    assert begun.state == "starting"
    assert web_site.production.image == ""
    writes = len(azure.web.writes)
    assert ("keep", "slot staging") in web.rows(web_dev.plan())
    found = web_dev.deploy()
    assert (found.state, found.tag) == ("healthy", begun.tag)
    assert azure.web.writes[writes:] == [f"POST sites/{web.APP}/slots/staging/slotsswap"]


@pytest.mark.bases
def test_in_place_with_entra_rollback_and_destroy(
    web_dev: ScriptedProject, azure: Azure, acr: Acr
) -> None:
    site = web.site(azure, acr, size="B1", slots=())
    site.production.settings = {"THEIRS": "1"}
    application = azure.application("flows-api")
    web_dev.locate(auth_client=application.client_id)
    web_dev.declare(slot=None, auth="entra")
    planned = web_dev.plan()
    assert "restarts the site" in next(s.why for s in planned.steps if s.what == "production")
    assert any(f"api://{application.client_id}" in step.why for step in planned.steps)

    first = web_dev.deploy()
    assert (first.state, first.auth, first.shares) == ("healthy", "entra", ())
    assert clients.ask(first.url).status_code == 401
    spec = web_dev.spec()
    assert is_spec_for(spec, appservice.TARGET)
    headers = appservice.TARGET.headers(spec)
    web_dev.declare("green", slot=None, auth="entra")
    second = web_dev.deploy(image=1)
    assert clients.ask(second.url, headers).json()["answer"].startswith("green")
    back = web_dev.rollback()
    assert (back.tag, back.state) == (first.tag, "healthy")

    # It would be open while the one goes and the other is not there yet.
    web_dev.declare(slot=None, auth="key")
    assert "from entra to key would accept every client for a while" in web_dev.refusal()

    assert pipeline.destroy(web_dev.spec())
    assert pipeline.status(web_dev.spec()) is None
    assert site.production.settings == {"THEIRS": "1"}
    assert not site.production.enabled
    assert pipeline.destroy(web_dev.spec()) == ()
    again = web_dev.deploy()
    assert (again.state, again.auth) == ("healthy", "key")


def test_production_that_cannot_be_verified_is_swapped_back(
    web_dev: ScriptedProject, web_site: Site
) -> None:
    first = web_dev.deploy()
    web_dev.declare("green")
    planned = web_dev.plan()
    asked: list[str] = []

    def prove(url: str, headers: object) -> None:
        asked.append(url)
        if url == first.url:
            raise DeployError("the sample", "it is answered badly")

    with pytest.raises(DeployError, match="answered badly"):
        target_registry.get("appservice").apply(planned, prove)
    assert asked == [web_site.slot("staging").url, first.url]
    assert web_dev.colour(first.url) == "blue"
    assert web_site.production.settings["COLOUR"] == "blue"


def test_assigned_identities_stay_in_place(
    web_dev: ScriptedProject, azure: Azure, acr: Acr, web_site: Site
) -> None:
    scope = f"/subscriptions/{azure.arm.subscription}/resourceGroups/{web.GROUP}/providers"
    clients = {}
    for slot in web_site.slots.values():
        identity = azure.identity(f"id-{slot.name}", **{acr.name: [ACR_PULL]})
        identity.assign_roles(web.VAULT, SECRETS_USER)
        id = f"{scope}/Microsoft.ManagedIdentity/userAssignedIdentities/{identity.name}"
        slot.managed.system, slot.managed.assigned = None, {id: identity}
        clients[slot.name] = identity.client_id
    assert web_dev.deploy().state == "healthy"
    web_dev.declare("green")
    found = web_dev.deploy()
    assert (found.state, web_dev.colour(found.url)) == ("healthy", "green")
    for name, client in clients.items():
        slot = web_site.slot(name)
        assert slot.settings["AZURE_CLIENT_ID"] == client
        assert slot.config["acrUserManagedIdentityID"] == client
    assert not web_dev.plan().has_changes
