"""The target appservice where something is wrong: what ran serves on, and a sentence tells what to do."""

from __future__ import annotations

import re

import pytest

from deploy.config import target_registry
from deploy.core.errors import DeployError
from deploy.delivery import drift, pipeline
from deploy.sandbox.acr import Acr
from deploy.sandbox.appservice import platform_log
from deploy.sandbox.appservice.slot import Site, Slot
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PULL, READER, SECRETS_USER, Identity
from deploy.testing import clients
from deploy.testing.scripted_project import CLEAR, ScriptedProject
from tests.integration import appservice_project as web


def own(slot: Slot) -> Identity:
    assert slot.managed.system
    return slot.managed.system


def test_a_container_that_does_not_start_is_explained_and_production_keeps_serving(
    web_dev: ScriptedProject, azure: Azure, web_site: Site
) -> None:
    web_dev.deploy()
    slot = web_site.slot("staging")
    refusals = {}
    slot.log.wording = platform_log.CLASSIC
    web_dev.declare(broken="crash")
    refusals["crash"] = web_dev.refusal()
    slot.log.wording = platform_log.CURRENT
    web_dev.declare(env={"clear": {**CLEAR, "SERVE_THREADS": "many"}})
    refusals["configuration"] = web_dev.refusal()
    # So long it answers with 502 before the service gives it up.
    azure.web.pace.startup_grace = 8.0
    web_dev.declare(broken="502", start_time_limit=40)
    refusals["502"] = web_dev.refusal()
    assert "slot staging of app-scripted: the container exited during startup" in refusals["crash"]
    assert "the weights are missing" in refusals["crash"], "its last lines"
    assert "did not return 200 for /health within 40 s" in refusals["502"]
    assert "asked for /health" in refusals["502"]
    assert "SERVE_THREADS is 'many': set a whole number" in refusals["configuration"]
    assert web_site.production.settings["SERVE_THREADS"] == CLEAR["SERVE_THREADS"]


def test_a_failed_swap_leaves_production_unchanged(
    web_dev: ScriptedProject, web_site: Site
) -> None:
    first = web_dev.deploy()
    # What stays with production breaks what comes there; what runs has started without it.
    web_site.sticky = {"appSettingNames": ["BREAK"]}
    web_site.production.settings["BREAK"] = "crash"
    web_dev.declare("green")
    with clients.run_clients(first.url, web_dev.headers()) as calls:
        message = web_dev.refusal()
    assert "the slot staging did not start with production's settings" in message
    assert calls.lost == []
    assert clients.colours(calls) == ["blue"]
    assert web_site.production.settings["COLOUR"] == "blue"

    del web_site.production.settings["BREAK"]
    assert web_dev.deploy().state == "healthy"
    assert web_dev.colour(first.url) == "green"


def test_a_slot_that_may_not_pull(
    web_dev: ScriptedProject, azure: Azure, acr: Acr, web_site: Site
) -> None:
    slot = web_site.slot("staging")
    own(slot).remove_roles(acr.name, ACR_PULL)
    message = web_dev.refusal()
    assert f"slot staging of {web.APP}: the identity {own(slot).object_id} may not pull" in message
    assert "AcrPull is missing" in message
    assert not azure.web.writes, "known before anything is changed"

    # Somebody who may not see roles learns it from the platform's log.
    ci = next(one for one in azure.directory.list_identities() if one.name == "ci")
    ci.remove_roles("subscription", READER)
    message = web_dev.refusal()
    assert f"{own(slot).object_id} could not pull the image from {acr.login_server}" in message
    assert "assign the role AcrPull" in message
    own(slot).assign_roles(acr.name, ACR_PULL)
    # As if it was tried long ago: it is written once more.
    slot.settings["FLOW_DEPLOY"] = re.sub(
        r'"at": "\d+', '"at": "2020', slot.settings["FLOW_DEPLOY"]
    )
    assert web_dev.deploy().state == "healthy"


def test_keys_that_are_missing_hidden_or_another(
    web_dev: ScriptedProject, azure: Azure, web_site: Site
) -> None:
    vault = azure.vault(web.VAULT)
    ci = next(one for one in azure.directory.list_identities() if one.name == "ci")
    ci.remove_roles(web.VAULT, SECRETS_USER)
    assert f"may not read the secret {web.SECRET}" in web_dev.refusal()
    ci.assign_roles(web.VAULT, SECRETS_USER)

    vault.reset()
    message = web_dev.refusal()
    assert f"it has no secret {web.SECRET}" in message
    assert "az keyvault secret set" in message
    vault.set(web.SECRET, web.KEY)

    identity = own(web_site.slot("staging"))
    identity.remove_roles(web.VAULT, SECRETS_USER)
    message = web_dev.refusal()
    assert "the Key Vault reference SERVE_KEY was not resolved" in message
    assert f"its identity {identity.object_id} has the role" in message
    identity.assign_roles(web.VAULT, SECRETS_USER)
    web_dev.deploy()

    vault.set(web.SECRET, "another-key-0123456789")
    with pytest.raises(DeployError, match="the key is rejected"):
        pipeline.run_smoke_test(web_dev.spec())


def test_in_place_a_version_that_does_not_start_is_reverted(
    web_dev: ScriptedProject, azure: Azure, acr: Acr
) -> None:
    site = web.site(azure, acr, size="B1", slots=())
    web_dev.declare(slot=None)
    first = web_dev.deploy()
    before = dict(site.production.settings)
    web_dev.declare(broken="crash", slot=None)
    message = web_dev.refusal(image=1)
    assert "the container exited during startup" in message
    assert web_dev.colour(first.url) == "blue"
    assert site.production.settings == before
    found = pipeline.status(web_dev.spec())
    assert found
    assert (found.state, found.tag) == ("healthy", first.tag)

    web_dev.declare("green", slot=None)
    planned = web_dev.plan(image=1)

    def interrupted(url: str, headers: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        target_registry.get("appservice").apply(planned, interrupted)
    assert site.production.settings == before
    assert site.production.image == found.image_id.removeprefix("DOCKER|")


def test_missing_infrastructure_is_reported_at_once(
    web_dev: ScriptedProject, azure: Azure, acr: Acr
) -> None:
    assert "create it with the infrastructure" in web_dev.refusal()
    azure.web.taken.add(web.APP)
    assert "the name is taken" in web_dev.refusal()
    azure.web.taken.clear()

    site = web.site(azure, acr, size="B1", slots=())
    assert "it has no slot staging" in web_dev.refusal()
    site.plan.reserved = False
    web_dev.declare(slot=None)
    assert "it runs Windows containers" in web_dev.refusal()
    site.plan.reserved = True
    site.production.managed.system = None
    assert "it has no identity that could pull the image" in web_dev.refusal()
    assert not azure.web.writes


def test_a_site_of_another_flow_is_not_changed(
    web_dev: ScriptedProject, azure: Azure, web_site: Site
) -> None:
    record = '{"flow": "other", "environment": "dev", "names": []}'
    web_site.production.settings = {"FLOW_DEPLOY": record}
    assert "it runs the flow other of dev" in web_dev.refusal()
    assert pipeline.destroy(web_dev.spec()) == ()
    assert not azure.web.writes


def test_production_changes_during_a_deploy(web_dev: ScriptedProject, web_site: Site) -> None:
    planned = web_dev.plan()
    web_site.production.settings = {"THEIRS": "1"}
    with pytest.raises(DeployError, match="something else changed it at the same time"):
        target_registry.get("appservice").apply(planned, lambda url, headers: None)
    assert web_site.production.settings == {"THEIRS": "1"}


def test_drift_is_found_and_nothing_is_written(
    web_dev: ScriptedProject, azure: Azure, web_site: Site
) -> None:
    def found() -> list[tuple[str, str, str]]:
        every = drift.compare_flow(web_dev.project, web_dev.spec())
        return [(one.what, one.actual, one.configured) for one in every if one.drift]

    assert found() == [("deployment", "", "appservice")]
    web_dev.deploy()
    azure.web.writes.clear()
    azure.arm.server.seen.clear()
    assert found() == []
    web_site.production.settings["SERVE_THREADS"] = "99"
    assert found() == [("setting SERVE_THREADS", "99", CLEAR["SERVE_THREADS"])]
    assert azure.web.writes == []
    assert azure.arm.server.requests("PUT|PATCH|DELETE") == []
