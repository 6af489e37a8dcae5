"""The emulated App Service, as the real azure-mgmt-web makes, changes, swaps and deletes its sites."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.arm import GROUP, LOCATION
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import (
    ACR_PULL,
    CONTRIBUTOR,
    Identity,
)
from deploy.testing.waiting import until
from tests.integration.sandbox_appservice.appservice_sdk import SETTINGS, SITE, SLOT, Sdk

ROOT = Path(__file__).parents[3]


def containers(azure: Azure) -> int:
    found = azure.engine.client.containers.list(
        all=True, filters={"label": azure.engine.label}, ignore_removed=True
    )
    return len(found)


def test_a_site_and_a_slot_run_by_digest(
    azure: Azure, sdk: Sdk, site: Site, deployer: Identity
) -> None:
    deployer.assign_roles("group", CONTRIBUTOR)
    apps, plans = sdk.client.web_apps, sdk.client.app_service_plans
    wanted: Any = {"location": LOCATION, "sku": {"name": "P0v3"}, "properties": {"reserved": True}}
    plan = plans.begin_create_or_update(GROUP, "plan-new", wanted).result()
    assert plan.sku and plan.sku.tier == "PremiumV3"
    body: Any = {
        "location": LOCATION,
        "kind": "app,linux,container",
        "identity": {"type": "SystemAssigned"},
        "tags": {"flow": "hello"},
        "properties": {
            "serverFarmId": plan.id,
            "httpsOnly": True,
            "siteConfig": {
                "linuxFxVersion": f"DOCKER|{sdk.image}",
                "acrUseManagedIdentityCreds": True,
                "appSettings": [{"name": k, "value": v} for k, v in SETTINGS.items()],
            },
        },
    }
    made = apps.begin_create_or_update(GROUP, "app-new", body).result()
    assert made.properties and made.properties.state == "Running"
    assert made.tags == {"flow": "hello"}
    new = azure.web.sites["app-new"].production
    assert new.worker.starts == 0
    assert made.identity and new.managed.system
    assert made.identity.principal_id == new.managed.system.object_id
    new.managed.system.assign_roles("crflows", ACR_PULL)
    apps.restart(GROUP, "app-new")
    assert made.properties.default_host_name == new.front.server.name
    answer = requests.get(f"{new.url}/version", verify=sdk.bundle, timeout=60)
    assert answer.json()["flow"] == "scripted"
    apps.begin_create_or_update_slot(GROUP, "app-new", "green", body).result()
    assert [one.name for one in apps.list_slots(GROUP, "app-new")] == ["app-new/green"]
    assert {one.name for one in apps.list()} == {SITE, "app-new"}
    apps.delete(GROUP, "app-new")
    with pytest.raises(ResourceNotFoundError):
        apps.get(GROUP, "app-new")
    plans.delete(GROUP, "plan-new")
    assert containers(azure) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(new.url, verify=sdk.bundle, timeout=10)


def test_settings_are_replaced_whole_and_start_it_anew_without_a_gap(
    azure: Azure, sdk: Sdk, site: Site
) -> None:
    sdk.set(COLOUR="old", OTHER="1")
    assert sdk.settings() == {**SETTINGS, "COLOUR": "old", "OTHER": "1"}
    assert sdk.logs() == ""
    sdk.configure()
    # It waits for the start.
    assert sdk.colour(site.production) == "old"
    answers: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = sdk.ask(site.production)
            answers[
                answer.json()["answer"].split()[0] if answer.ok else str(answer.status_code)
            ] += 1

    client_thread = threading.Thread(target=ask)
    client_thread.start()
    try:
        # What runs answers while the next one starts, be it for ever.
        sdk.set(BREAK="hang")
        assert sdk.settings() == {**SETTINGS, "BREAK": "hang"}
        until(lambda: containers(azure) == 2)
        before = answers["old"]
        until(lambda: answers["old"] > before + 5)
        sdk.set(COLOUR="new")
        until(lambda: answers["new"] > 5)
        assert set(answers) == {"old", "new"}
        sdk.set(BREAK="crash")
        until(lambda: answers["503"] > 0)
        assert set(answers) == {"old", "new", "503"}
    finally:
        stop.set()
        client_thread.join()
    assert site.production.worker.current is None
    properties = sdk.client.web_apps.get(GROUP, SITE).properties
    assert properties and properties.state == "Running"


def test_a_swap_keeps_sticky_and_slot_settings(azure: Azure, sdk: Sdk, site: Site) -> None:
    apps = sdk.client.web_apps
    names: Any = {"properties": {"appSettingNames": ["COLOUR"]}}
    apps.update_slot_configuration_names(GROUP, SITE, names)
    always: Any = {"properties": {"alwaysOn": True, "healthCheckPath": "/health"}}
    apps.update_configuration(GROUP, SITE, always)
    sdk.set(COLOUR="blue", RELEASE="1")
    sdk.configure()
    sdk.set(SLOT, COLOUR="green", RELEASE="2", WEBSITE_SWAP_WARMUP_PING_PATH="/health")
    sdk.configure(SLOT)
    staging = site.slot(SLOT)
    assert (sdk.colour(site.production), sdk.colour(staging)) == ("blue", "green")
    before = sdk.ask(site.production).json()
    azure.web.pace.pending_polls = 3
    body: Any = {"targetSlot": "production", "preserveVnet": True}
    with azure.web.hold_operations():
        poller = apps.begin_swap_slot(GROUP, SITE, SLOT, body)
        # The source is ready with the settings of the target, which still answers as before.
        until(lambda: sdk.colour(staging) == "blue")
        assert sdk.ask(site.production).json() == before
        with pytest.raises(ResourceExistsError, match="another operation is in progress") as caught:
            sdk.set(COLOUR="red")
        assert "OperationName: SwapSiteSlots" in str(caught.value)
        assert not poller.done()
    poller.result()
    polls = azure.arm.server.requests("GET", "/operationresults/")
    assert len(polls) > 3 and len({seen.path for seen in polls}) == len(polls)
    assert sdk.settings()["RELEASE"] == "2" and sdk.settings()["COLOUR"] == "blue"
    assert sdk.settings(SLOT)["RELEASE"] == "1" and sdk.settings(SLOT)["COLOUR"] == "green"
    web = [apps.get_configuration(GROUP, SITE), apps.get_configuration_slot(GROUP, SITE, SLOT)]
    found = [one.properties for one in web if one.properties]
    assert [one.always_on for one in found] == [True, False]
    assert [one.health_check_path for one in found] == ["/health", None]
    assert sdk.ask(site.production).json()["answer"] not in ("", before["answer"])
    staging.worker.wait()
    assert (sdk.colour(site.production), sdk.colour(staging)) == ("blue", "green")


@pytest.mark.parametrize("how", ["crash", "status"])
def test_a_swap_that_fails_in_the_middle(azure: Azure, sdk: Sdk, site: Site, how: str) -> None:
    names: Any = {"properties": {"appSettingNames": ["BREAK", "COLOUR"]}}
    sdk.client.web_apps.update_slot_configuration_names(GROUP, SITE, names)
    sdk.set(COLOUR="blue")
    sdk.configure()
    assert sdk.colour(site.production) == "blue"
    if how == "crash":
        # It is only with the settings of production that it breaks.
        site.production.settings["BREAK"] = "crash"
        sdk.set(SLOT, COLOUR="green")
    else:
        path = {"WEBSITE_SWAP_WARMUP_PING_PATH": "/no-such"}
        sdk.set(SLOT, COLOUR="green", WEBSITE_SWAP_WARMUP_PING_STATUSES="200", **path)
    sdk.configure(SLOT)
    with pytest.raises(HttpResponseError) as caught:
        sdk.swap()
    assert caught.value.status_code == 417
    assert "because the 'staging' slot did not respond to http ping" in str(caught.value)
    assert sdk.colour(site.production) == "blue"
    site.slot(SLOT).worker.wait()
    assert sdk.colour(site.slot(SLOT)) == "green"
    assert sdk.settings(SLOT)["COLOUR"] == "green"
