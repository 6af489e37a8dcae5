"""The emulated App Service: containers that start, crash, hang or may not be pulled."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.sandbox.acr import Acr
from deploy.sandbox.appservice import platform_log
from deploy.sandbox.appservice.platform_log import Wording
from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.arm import GROUP
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import (
    ACR_PULL,
    Identity,
)
from deploy.testing.waiting import until
from tests.integration.sandbox_appservice.appservice_sdk import SITE, Sdk


def test_an_image_that_may_not_be_pulled(azure: Azure, acr: Acr, sdk: Sdk, site: Site) -> None:
    identity = site.production.managed.system
    assert identity
    identity.remove_roles(acr.name, ACR_PULL)
    sdk.set()
    sdk.configure()
    assert sdk.ask(site.production).status_code == 503
    assert f"Pulling image: {sdk.image}." in sdk.logs()
    assert "Container pull image failed with reason: ImagePullFailure" in sdk.logs()
    assert "Site container: app-faq terminated during site startup." in sdk.logs()
    # It is tried again, later, by whoever asks.
    identity.assign_roles(acr.name, ACR_PULL)
    until(lambda: sdk.ask(site.production).status_code == 200)
    site.production.log.wording = platform_log.CLASSIC
    sdk.configure(image=sdk.image.partition("@")[0] + ":no-such-tag")
    site.production.worker.wait()
    assert "manifest unknown" in sdk.logs()
    assert "ERROR - Pulling docker image" in sdk.logs()


def test_an_identity_that_is_assigned_pulls(
    azure: Azure, acr: Acr, sdk: Sdk, site: Site, deployer: Identity
) -> None:
    pulls = azure.identity("id-faq", **{acr.name: [ACR_PULL]})
    system = site.production.managed.system
    assert system
    system.remove_roles(acr.name, ACR_PULL)
    id = f"/subscriptions/x/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{pulls.name}"
    identity: Any = {"identity": {"type": "SystemAssigned, UserAssigned"}}
    identity["identity"]["userAssignedIdentities"] = {id: {}}
    made = sdk.client.web_apps.update(GROUP, SITE, identity)
    assert made.identity and made.identity.user_assigned_identities
    assert made.identity.user_assigned_identities[id].client_id == pulls.client_id
    assert made.identity.principal_id == system.object_id
    properties: Any = {"properties": {"acrUserManagedIdentityID": pulls.client_id}}
    sdk.client.web_apps.update_configuration(GROUP, SITE, properties)
    sdk.set(COLOUR="blue")
    sdk.configure()
    assert sdk.colour(site.production) == "blue"


@pytest.mark.parametrize("wording", [platform_log.CURRENT, platform_log.CLASSIC])
def test_a_container_that_crashes(sdk: Sdk, site: Site, wording: Wording) -> None:
    site.production.log.wording = wording
    sdk.set(BREAK="crash")
    sdk.configure()
    assert sdk.ask(site.production).status_code == 503
    logs = sdk.logs()
    assert "the weights are missing" in logs
    if wording is platform_log.CURRENT:
        assert "Container has finished running with exit code: 3." in logs
        assert "Site container: app-faq terminated during site startup." in logs
    else:
        assert "for site app-faq has exited, failing site start" in logs
        assert "didn't respond to HTTP pings on port: 8080, failing site start." in logs


@pytest.mark.parametrize("how", ["hang", "wrong port", "wrong status"])
def test_a_container_that_does_not_answer_in_time(
    azure: Azure, sdk: Sdk, site: Site, how: str
) -> None:
    azure.web.pace.startup_grace = 0
    site.production.log.wording = platform_log.CLASSIC
    changes = {
        "hang": {"BREAK": "hang"},
        "wrong port": {"WEBSITES_PORT": "9999"},
        "wrong status": {"WEBSITE_WARMUP_PATH": "/no-such"},
    }
    sdk.set(WEBSITES_CONTAINER_START_TIME_LIMIT="20", **changes[how])
    sdk.configure()
    assert sdk.ask(site.production).status_code == 503
    logs = sdk.logs()
    assert "did not start within expected time limit. Elapsed time = 20." in logs
    port = changes[how].get("WEBSITES_PORT", "8080")
    assert f"didn't respond to HTTP pings on port: {port}, failing site start." in logs


def test_without_statuses_every_answer_counts_as_started(sdk: Sdk, site: Site) -> None:
    sdk.set(BREAK="502", WEBSITE_WARMUP_PATH="", WEBSITE_WARMUP_STATUSES="")
    sdk.configure()
    answer = sdk.ask(site.production)
    assert answer.status_code == 502
    assert "BaseHTTP" in answer.headers["Server"]
    assert "asked for /robots933456.txt" in sdk.logs()
    assert "Site started." in sdk.logs()


def test_it_stops_and_starts(sdk: Sdk, site: Site) -> None:
    sdk.set(COLOUR="blue")
    sdk.configure()
    assert sdk.colour(site.production) == "blue"
    current = site.production.worker.current
    assert current and current.container
    current.container.kill()
    assert sdk.ask(site.production).status_code == 502
    assert sdk.colour(site.production) == "blue"
    sdk.client.web_apps.stop(GROUP, SITE)
    assert sdk.ask(site.production).status_code == 403
    properties = sdk.client.web_apps.get(GROUP, SITE).properties
    assert properties and properties.state == "Stopped"
    sdk.client.web_apps.start(GROUP, SITE)
    assert sdk.colour(site.production) == "blue"
