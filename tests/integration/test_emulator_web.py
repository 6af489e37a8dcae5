"""The emulated App Service, as the real azure-mgmt-web makes, changes, swaps and deletes its sites."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.web import WebSiteManagementClient

from deploy.core.entities import Image
from deploy.sandbox.acr import Acr
from deploy.sandbox.appservice import platform_log
from deploy.sandbox.appservice.plans import Plan
from deploy.sandbox.appservice.platform_log import Wording
from deploy.sandbox.appservice.slot import Site, Slot
from deploy.sandbox.arm import GROUP, LOCATION
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import (
    ACR_PULL,
    CONTRIBUTOR,
    READER,
    SECRETS_OFFICER,
    SECRETS_USER,
    WEBSITE_CONTRIBUTOR,
    Identity,
)
from tests.integration.azure_fixtures import LogIn
from tests.integration.running import until

ROOT = Path(__file__).parents[2]
SITE, SLOT = "app-faq", "staging"
SETTINGS = {
    "WEBSITES_PORT": "8080",
    "WEBSITE_WARMUP_PATH": "/health",
    "WEBSITE_WARMUP_STATUSES": "200",
    "SERVE_WORKERS": "1",
}


@pytest.fixture
def image(obedient_images: tuple[Image, ...]) -> str:
    """An image of a flow that does as it is told, in the registry, by digest."""
    return obedient_images[0].pinned


@dataclass
class Sdk:
    """The client, with what the tests do again and again. A slot is `production` or another."""

    client: WebSiteManagementClient
    image: str
    bundle: str

    def configure(self, slot: str = "production", image: str = "") -> None:
        """Set the image of a slot."""
        body: Any = {"properties": {"linuxFxVersion": f"DOCKER|{image or self.image}"}}
        apps = self.client.web_apps
        if slot == "production":
            apps.update_configuration(GROUP, SITE, body)
        else:
            apps.update_configuration_slot(GROUP, SITE, slot, body)

    def set(self, slot: str = "production", **settings: str) -> None:
        """Replace the settings of a slot."""
        body: Any = {"properties": {**SETTINGS, **settings}}
        apps = self.client.web_apps
        if slot == "production":
            apps.update_application_settings(GROUP, SITE, body)
        else:
            apps.update_application_settings_slot(GROUP, SITE, slot, body)

    def settings(self, slot: str = "production") -> dict[str, str]:
        """Return the settings of a slot."""
        apps = self.client.web_apps
        if slot == "production":
            found = apps.list_application_settings(GROUP, SITE)
        else:
            found = apps.list_application_settings_slot(GROUP, SITE, slot)
        return dict(found.properties or {})

    def logs(self, slot: str = "production") -> str:
        """Return the platform's log of a slot."""
        apps = self.client.web_apps
        if slot == "production":
            found = apps.get_web_site_container_logs(GROUP, SITE)
        else:
            found = apps.get_web_site_container_logs_slot(GROUP, SITE, slot)
        return b"".join(found or []).decode()

    def swap(self) -> None:
        """Swap staging into production."""
        body: Any = {"targetSlot": "production", "preserveVnet": True}
        self.client.web_apps.begin_swap_slot(GROUP, SITE, SLOT, body).result()

    def ask(self, slot: Slot, path: str = "/score", **headers: str) -> requests.Response:
        """Score a slot."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        body = {"question": "why?"}
        return requests.post(
            slot.url + path, json=body, headers=named, verify=self.bundle, timeout=60
        )

    def colour(self, slot: Slot) -> str:
        """Return the colour of what answers."""
        answer = self.ask(slot)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["answer"].split(" ")[0])


@pytest.fixture
def deployer(azure: Azure, log_in: LogIn) -> Identity:
    made = azure.identity("deployer", subscription=[READER], **{SITE: [WEBSITE_CONTRIBUTOR]})
    log_in(made)
    return made


@pytest.fixture
def site(azure: Azure, acr: Acr) -> Site:
    """A site with a slot, as infrastructure makes it."""
    made = azure.web.add_site(SITE, azure.web.add_plan("plan-faq"), SLOT)
    for slot in made.slots.values():
        assert slot.managed.system
        slot.managed.system.assign_roles(acr.name, ACR_PULL)
    return made


@pytest.fixture
def sdk(azure: Azure, site: Site, deployer: Identity, image: str) -> Sdk:
    return Sdk(connect(azure), image, str(azure.authority.bundle))


def connect(azure: Azure) -> WebSiteManagementClient:
    return WebSiteManagementClient(
        DefaultAzureCredential(),
        azure.arm.subscription,
        base_url=azure.arm.server.url,
        credential_scopes=["https://management.azure.com/.default"],
        polling_interval=0.05,
    )


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
    assert answer.json()["flow"] == "obedient"
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

    caller = threading.Thread(target=ask)
    caller.start()
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
        caller.join()
    assert site.production.worker.current is None
    properties = sdk.client.web_apps.get(GROUP, SITE).properties
    assert properties and properties.state == "Running"


def test_a_swap_leaves_sticky_settings_and_what_is_of_the_slot(
    azure: Azure, sdk: Sdk, site: Site
) -> None:
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
    with azure.web.hold_swaps():
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


def test_the_platform_authenticates(azure: Azure, sdk: Sdk, site: Site) -> None:
    app, caller = azure.application("faq"), azure.identity("caller")
    validation: dict[str, Any] = {"allowedAudiences": [f"api://{app.client_id}"]}
    issuer = f"https://sts.windows.net/{azure.directory.tenant}/"
    entra = {
        "enabled": True,
        "registration": {"clientId": app.client_id, "openIdIssuer": issuer},
        "validation": validation,
    }
    rules = {
        "requireAuthentication": True,
        "unauthenticatedClientAction": "Return401",
        "excludedPaths": ["/version"],
    }
    body: Any = {
        "properties": {
            "platform": {"enabled": True},
            "globalValidation": rules,
            "identityProviders": {"azureActiveDirectory": entra},
        }
    }
    apps = sdk.client.web_apps
    sdk.set(COLOUR="blue")
    sdk.configure()
    apps.update_auth_settings_v2(GROUP, SITE, body)
    found = apps.get_auth_settings_v2(GROUP, SITE).properties
    assert found and found.platform and found.platform.enabled

    def ask(audience: str, who: Identity = caller) -> int:
        token = azure.directory.issue(who, audience)
        return sdk.ask(site.production, Authorization=f"Bearer {token}").status_code

    refused = sdk.ask(site.production)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert ask(azure.arm.audiences[0]) == 401
    assert ask(f"api://{app.client_id}") == ask(app.client_id) == 200
    answer = requests.get(f"{site.production.url}/version", verify=sdk.bundle, timeout=30)
    assert answer.status_code == 200
    validation["defaultAuthorizationPolicy"] = {"allowedApplications": [app.client_id]}
    apps.update_auth_settings_v2(GROUP, SITE, body)
    assert ask(app.client_id) == 403
    assert ask(app.client_id, app) == 200


def test_settings_refer_to_secrets_of_a_vault(azure: Azure, sdk: Sdk, site: Site) -> None:
    vault = azure.vault("kv-faq")
    keeper = azure.identity("keeper", **{"kv-faq": [SECRETS_OFFICER]})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in azure.environment(keeper).items():
            patch.setenv(name, value)
        secrets = SecretClient(
            vault.server.url, DefaultAzureCredential(), verify_challenge_resource=False
        )
        secrets.set_secret("colour", "purple")
        assert secrets.get_secret("colour").value == "purple"
        with pytest.raises(ResourceNotFoundError, match="was not found in this key vault"):
            secrets.get_secret("no-such")
    assert [seen.status for seen in vault.server.requests("PUT")] == [401, 200]
    reference = vault.reference("colour")
    sdk.set(COLOUR=reference)
    sdk.configure()
    # What cannot be resolved stays as it is written.
    assert sdk.colour(site.production) == reference
    apps = sdk.client.web_apps

    def status() -> str:
        (row,) = apps.get_app_settings_key_vault_references(GROUP, SITE)
        assert row.properties
        return str(row.properties.as_dict()["status"])

    assert status() == "AccessToKeyVaultDenied"
    identity = site.production.managed.system
    assert identity
    identity.assign_roles("kv-faq", SECRETS_USER)
    assert status() == "Resolved"
    for reader, found in (("/no/such/identity", "MSINotEnabled"), ("SystemAssigned", "Resolved")):
        change: Any = {"properties": {"keyVaultReferenceIdentity": reader}}
        apps.update(GROUP, SITE, change)
        assert status() == found
    apps.restart(GROUP, SITE)
    site.production.worker.wait()
    assert sdk.colour(site.production) == "purple"
    assert sdk.settings()["COLOUR"] == reference


def test_what_is_kept(azure: Azure, sdk: Sdk, site: Site) -> None:
    apps = sdk.client.web_apps
    rule = {"ipAddress": "10.0.0.0/8", "action": "Allow", "priority": 100, "name": "office"}
    config: Any = {"properties": {"ipSecurityRestrictions": [rule], "ftpsState": "Disabled"}}
    apps.update_configuration_slot(GROUP, SITE, SLOT, config)
    found = apps.get_configuration_slot(GROUP, SITE, SLOT).properties
    assert found and found.ip_security_restrictions
    assert found.ip_security_restrictions[0].ip_address == "10.0.0.0/8"
    assert (found.ftps_state, found.min_tls_version) == ("Disabled", "1.2")
    strings: Any = {"properties": {"db": {"value": "Server=x", "type": "Custom"}}}
    apps.update_connection_strings_slot(GROUP, SITE, SLOT, strings)
    change: Any = {"tags": {"flow": "hello"}, "properties": {"httpsOnly": True}}
    apps.update_slot(GROUP, SITE, SLOT, change)
    sdk.set(SLOT, COLOUR="blue")
    kept = apps.list_connection_strings_slot(GROUP, SITE, SLOT).properties
    assert kept and kept["db"].value == "Server=x"
    slot = apps.get_slot(GROUP, SITE, SLOT)
    assert slot.tags == {"flow": "hello"} and slot.name == f"{SITE}/{SLOT}"
    assert slot.properties and slot.properties.https_only
    assert apps.get(GROUP, SITE).tags == {}
    assert azure.web.writes == [
        f"{verb} sites/{SITE}/slots/{SLOT}{what}"
        for verb, what in (
            ("PATCH", "/config/web"),
            ("PUT", "/config/connectionstrings"),
            ("PATCH", ""),
            ("PUT", "/config/appsettings"),
        )
    ]


def test_what_is_refused_at_once(azure: Azure, sdk: Sdk, site: Site, deployer: Identity) -> None:
    apps, plans = sdk.client.web_apps, sdk.client.app_service_plans
    azure.web.taken.add("popular")
    small, windows = (
        azure.web.add_plan("plan-small", "B1"),
        azure.web.add_plan("plan-win", "S1", False),
    )

    def body(plan: Plan, image: str = "") -> Any:
        properties: dict[str, Any] = {"serverFarmId": plan.id}
        if image:
            properties["siteConfig"] = {"linuxFxVersion": f"DOCKER|{image}"}
        return {"location": LOCATION, "properties": properties}

    def refused(call: Callable[[], Any]) -> HttpResponseError:
        with pytest.raises(HttpResponseError) as caught:
            call()
        return caught.value

    # The role is on this very site only.
    error = refused(lambda: apps.begin_create_or_update(GROUP, SITE, body(small)))
    assert error.status_code == 403 and "LinkedAuthorizationFailed" in str(error)
    error = refused(lambda: apps.begin_create_or_update(GROUP, "app-other", body(small)))
    assert error.status_code == 403 and "AuthorizationFailed" in str(error)
    deployer.assign_roles("group", WEBSITE_CONTRIBUTOR)
    error = refused(lambda: apps.begin_create_or_update(GROUP, "popular", body(small)))
    assert error.status_code == 409
    assert "Website with given name popular already exists." in str(error)
    check: Any = {"name": "popular", "type": "Site"}
    availability = sdk.client.check_name_availability(check)
    assert (availability.name_available, availability.reason) == (False, "AlreadyExists")
    error = refused(lambda: apps.begin_create_or_update(GROUP, "app-win", body(windows, sdk.image)))
    assert error.status_code == 400
    assert "The parameter LinuxFxVersion has an invalid value." in str(error)
    assert "app-win" not in azure.web.sites
    apps.begin_create_or_update(GROUP, "app-small", body(small)).result()
    error = refused(
        lambda: apps.begin_create_or_update_slot(GROUP, "app-small", "green", body(small))
    )
    assert error.status_code == 409
    assert "exceed the number of slots allowed for the 'Basic' SKU" in str(error)
    deployer.assign_roles("group", CONTRIBUTOR)
    shrink: Any = {"sku": {"name": "B1"}, "location": LOCATION}
    error = refused(lambda: plans.begin_create_or_update(GROUP, "plan-faq", shrink))
    assert "exceed the number of slots" in str(error)
    error = refused(lambda: plans.delete(GROUP, "plan-faq"))
    assert error.status_code == 409
    azure.web.conflict_next()
    assert refused(lambda: sdk.set(COLOUR="red")).status_code == 409
    sdk.set(COLOUR="red")
    deployer.remove_roles("group", WEBSITE_CONTRIBUTOR, CONTRIBUTOR)
    deployer.remove_roles(SITE, WEBSITE_CONTRIBUTOR)
    assert apps.get(GROUP, SITE).name == SITE
    assert refused(sdk.settings).status_code == 403
    token = azure.directory.issue(deployer, azure.arm.audiences[0], -5)
    for path, version in (("", "2016-08-01"), ("/functions", "2025-05-01")):
        headers = {
            "Authorization": f"Bearer {azure.directory.issue(deployer, azure.arm.audiences[0])}"
        }
        url = f"{azure.arm.server.url}{site.production.id}{path}?api-version={version}"
        assert not requests.get(url, headers=headers, verify=sdk.bundle, timeout=10).ok
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{azure.arm.server.url}{site.production.id}?api-version=2025-05-01"
    assert requests.get(url, headers=headers, verify=sdk.bundle, timeout=10).status_code == 401
    assert [text.split()[:2] for text in azure.problems()] == [
        ["ARM:", "api-version"],
        ["ARM:", "GET"],
    ]
    azure.arm.server.unexpected.clear()
