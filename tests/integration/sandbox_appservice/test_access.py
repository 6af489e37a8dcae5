"""The emulated App Service: authentication, secrets of a vault, and requests that are rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

from deploy.sandbox.appservice.plans import Plan
from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.arm import GROUP, LOCATION
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import (
    CONTRIBUTOR,
    SECRETS_OFFICER,
    SECRETS_USER,
    WEBSITE_CONTRIBUTOR,
    Identity,
)
from tests.integration.sandbox_appservice.appservice_sdk import SITE, SLOT, Sdk


def test_the_platform_authenticates(azure: Azure, sdk: Sdk, site: Site) -> None:
    app, client_identity = azure.application("faq"), azure.identity("client_identity")
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

    def ask(audience: str, who: Identity = client_identity) -> int:
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


def test_settings_keep_their_values(azure: Azure, sdk: Sdk, site: Site) -> None:
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


def test_invalid_requests_are_rejected(
    azure: Azure, sdk: Sdk, site: Site, deployer: Identity
) -> None:
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
