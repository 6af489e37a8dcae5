"""The target appservice without a service: what is wanted, what there is to do, what a log tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.azure import diagnosis
from deploy.azure.errors import AzureError
from deploy.config import configuration
from deploy.core.errors import DeployError
from deploy.server.settings import START_FAILURE, UNRESOLVED_MESSAGE
from deploy.targets import appservice
from deploy.targets.appservice import (
    authentication,
    desired,
    errors,
    naming,
    plan,
    prechecks,
    rollback,
    startup_failures,
    state,
)
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.site_settings import build_settings
from deploy.targets.appservice.state import Identity, ObservedState
from tests.unit.targets.appservice_state import (
    IDENTITY,
    IMAGE,
    KEY_REFERENCE,
    decided,
    deployed,
    project,
    site,
    spec_of,
    world,
)


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Make a spec of settings, and of what environments.yaml says."""

    def spec(place: Mapping[str, Any] | None = None, /, **settings: Any) -> SiteSpec:
        return spec_of(tmp_path, place, **settings)

    return spec


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "the key auth is missing"),
        ({"auth": "none"}, "not one of the known values"),
        ({"auth": "key", "request_timeout": 300}, "App Service ends a request after 230 s"),
        ({"auth": "key", "start_time_limit": 1801}, "a number up to 1800 is expected"),
        ({"auth": "key", "allow": ["203.0.113.1/24"]}, "a network such as 203.0.113.0/24"),
        ({"auth": "key", "env": {"secret_refs": {"A": "kv"}}}, "a reference is expected"),
        ({"auth": "key", "app": "no_underscore"}, "app"),
    ],
)
def test_settings_that_cannot_be(
    settings: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployError) as caught:
        configuration.load_specs(project(tmp_path, settings, {}), "dev")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "place", "expected"),
    [
        ({}, {"app": None}, "the site has no name"),
        ({}, {"registry": None}, "a site pulls from a registry, and it has none"),
        ({}, {"registry": "ghcr.io/team"}, "ghcr.io is none"),
        ({"auth": "entra"}, {}, "add its client ID as `auth_client`"),
        ({}, {"key_vault": None}, "needs a vault that holds the key"),
        ({"env": {"secret": ["TOKEN"]}}, {}, "TOKEN would be stored as plain text"),
        ({"env": {"secret": ["MISSING"]}, "plain_secrets": True}, {}, "set MISSING (env.secret)"),
        (
            {
                "auth": "public",
                "env": {"secret_refs": {"SERVE_KEY": "keyvault:https://kv.test/secrets/key"}},
            },
            {},
            "a key is among the variables, and `auth` is public",
        ),
    ],
)
def test_problems_are_reported_before_the_build(
    settings: dict[str, Any], place: dict[str, Any], expected: str, made: Any
) -> None:
    with pytest.raises(DeployError) as caught:
        prechecks.check_configuration(made(place, **settings))
    assert expected in str(caught.value)


def test_app_settings_without_secrets(made: Any) -> None:
    references = {"TOKEN": "keyvault:https://kv.test/secrets/token/abc"}
    spec = made(request_timeout=200, env={"clear": {"A": "1"}, "secret_refs": references})
    found = desired.build_desired_state(spec, IMAGE, world(site()))
    assert found.settings == {
        "WEBSITES_PORT": "8080",
        "WEBSITES_CONTAINER_START_TIME_LIMIT": "230",
        "WEBSITES_CONTAINER_STOP_TIME_LIMIT": "30",
        "WEBSITES_ENABLE_APP_SERVICE_STORAGE": "false",
        "WEBSITE_WARMUP_PATH": "/health",
        "WEBSITE_WARMUP_STATUSES": "200",
        "WEBSITE_SWAP_WARMUP_PING_PATH": "/health",
        "WEBSITE_SWAP_WARMUP_PING_STATUSES": "200",
        "SERVE_TIMEOUT": "200",
        "SERVE_SECRETS": "SERVE_KEY,TOKEN",
        "SERVE_KEY": KEY_REFERENCE,
        "A": "1",
        "TOKEN": "@Microsoft.KeyVault(SecretUri=https://kv.test/secrets/token/abc)",
    }
    assert found.plain == ()


def test_an_identity_of_its_own_stays_with_each_site(made: Any) -> None:
    one = Identity("object-1", f"{IDENTITY}one", "client-1")
    two = Identity("object-2", f"{IDENTITY}two", "client-2")
    found = world(site(user_identities=(one,)), site("staging", user_identities=(two,)))
    decision = decided(made(slot="staging"), found)
    assert decision.new_sticky_names == ("AZURE_CLIENT_ID",)
    assert found.slot
    on_slot = build_settings(made(slot="staging"), found, found.slot, decision.desired)
    assert on_slot["AZURE_CLIENT_ID"] == "client-2"
    production, staging = decision.site_updates
    assert production.settings == {"AZURE_CLIENT_ID": "client-1"}
    assert production.web["acrUserManagedIdentityID"] == "client-1"
    assert staging.web["acrUserManagedIdentityID"] == "client-2"
    assert production.properties["keyVaultReferenceIdentity"] == f"{IDENTITY}one"


def test_several_identities_need_one_to_be_named(made: Any) -> None:
    pair = tuple(Identity(f"o{n}", f"{IDENTITY}{n}", f"c{n}") for n in (1, 2))
    found = world(site(user_identities=pair, system_principal=""))
    with pytest.raises(DeployError, match="it has 2 identities"):
        prechecks.check_blockers(made(), found)
    prechecks.check_blockers(made({"identity": f"{IDENTITY}2"}), found)
    with pytest.raises(DeployError, match="does not have the identity that `identity` in"):
        prechecks.check_blockers(made({"identity": f"{IDENTITY}3"}), found)


def test_a_deployed_version_needs_no_change(made: Any) -> None:
    spec = made()
    production = deployed(spec, world(site(settings={"THEIRS": "1"})))
    decision = decided(spec, world(production))
    assert not decision.has_changes
    assert decided(spec, world(production), replace(IMAGE, tag="another")).has_new_version


def test_settings_are_merged_not_replaced(made: Any) -> None:
    spec = made(slot="staging", env={"clear": {"OURS": "1"}})
    before = world(site(settings={"THEIRS": "1", "STAYS": "p"}), site("staging"), "STAYS")
    production = deployed(spec, before, THEIRS="2", STAYS="p")
    slot = site("staging", settings={"STAYS": "s", "ONLY_HERE": "x"})
    changed = made(slot="staging", env={"clear": {"NEW": "1"}})
    now = world(production, slot, "STAYS")
    decision = decided(changed, now)
    settings = build_settings(changed, now, slot, decision.desired)
    assert settings["THEIRS"] == "2", "as production has it"
    assert settings["STAYS"] == "s", "as the slot has it"
    assert settings["NEW"] == "1"
    assert not {"OURS", "ONLY_HERE"} & set(settings)
    assert decision.removed_slot_settings == ("ONLY_HERE",)
    shown = {one.what: (one.before, one.after) for one in decision.differences}
    assert shown == {"setting OURS": ("1", "-"), "setting NEW": ("-", "1")}


def test_unchanged_slot_settings_are_not_written_again(made: Any) -> None:
    spec = made(slot="staging")
    staged = replace(deployed(spec, world(site())), name="staging")
    decision = decided(spec, world(site(), staged))
    assert decision.has_new_version
    assert decision.is_staged
    rows = plan.list_steps(spec, IMAGE, world(site(), staged), decision)
    assert ("keep", "slot staging") in [(row.action, row.what) for row in rows]


def test_no_secret_is_in_a_plan(made: Any) -> None:
    spec = made(plain_secrets=True, env={"secret": ["TOKEN"], "clear": {"A": "shown"}})
    before = site(settings={"TOKEN": "yesterdays-token", "SERVE_KEY": "a-key-in-plain-text"})
    decision = decided(spec, world(before))
    text = repr([plan.list_steps(spec, IMAGE, world(before), decision), decision])
    for secret in ("a-token-of-a-test", "yesterdays-token", "a-key-in-plain-text"):
        assert secret not in text
    assert "secret hello-dev-key" in text
    assert "shown" in text


def test_defaults_are_safe_and_stricter_ones_stay(made: Any) -> None:
    lax = site(properties={}, web={"minTlsVersion": "1.0", "ftpsState": "AllAllowed"})
    (fix,) = decided(made(public_network=False), world(lax)).site_updates
    assert fix.web["minTlsVersion"] == "1.2"
    assert fix.web["ftpsState"] == "Disabled"
    assert fix.properties["httpsOnly"] is True
    assert fix.properties["publicNetworkAccess"] == "Disabled"
    strict = replace(lax, web={"minTlsVersion": "1.3"})
    assert "minTlsVersion" not in decided(made(), world(strict)).site_updates[0].web
    assert "alwaysOn" not in decided(made(), world(lax, tier="Free")).site_updates[0].web


def test_access_restrictions_of_others_stay(made: Any) -> None:
    theirs = {"name": "office", "action": "Allow", "priority": 50, "ipAddress": "198.51.100.0/24"}
    anybody = {"name": "Allow all", "action": "Allow", "ipAddress": "Any", "priority": 2147483647}
    spec = made(allow=["203.0.113.0/24", "AzureFrontDoor.Backend"])
    web = desired.configuration_changes(
        spec, site(web={"ipSecurityRestrictions": [theirs, anybody]}), "S1", False
    )
    rules = web["ipSecurityRestrictions"]
    assert [rule["name"] for rule in rules] == ["office", "flow-deploy-1", "flow-deploy-2"]
    assert [rule.get("tag") for rule in rules[1:]] == ["Default", "ServiceTag"]
    assert web["ipSecurityRestrictionsDefaultAction"] == "Deny"
    again = desired.configuration_changes(spec, site(web=web), "S1", False)
    assert "ipSecurityRestrictions" not in again
    opened = desired.configuration_changes(made(), site(web=web), "S1", False)
    assert opened["ipSecurityRestrictions"] == [theirs]
    assert {**web, **opened}["ipSecurityRestrictionsDefaultAction"] == "Deny", "theirs holds"


@pytest.mark.parametrize("tier", ["Free", "Basic"])
def test_slots_need_standard(tier: str, made: Any) -> None:
    found = world(site(), site("staging"), tier=tier)
    with pytest.raises(DeployError, match=f"its tier {tier}"):
        prechecks.check_blockers(made(slot="staging"), found)


def test_the_platforms_authentication_is_merged(made: Any) -> None:
    class Manager:
        def get_token_issuer(self) -> str:
            return "https://sts.windows.net/tenant/"

    client = "00000000-0000-0000-0000-000000000001"
    spec = made({"auth_client": client}, auth="entra")
    theirs = {"platform": {"runtimeVersion": "~1"}, "login": {"tokenStore": {"enabled": True}}}
    asked = authentication.desired_auth(spec, Manager(), theirs)  # type: ignore[arg-type]
    assert asked
    assert asked["platform"] == {"runtimeVersion": "~1", "enabled": True}
    assert asked["login"] == theirs["login"]
    assert asked["globalValidation"]["unauthenticatedClientAction"] == "Return401"
    assert authentication.desired_auth(spec, Manager(), asked) is None  # type: ignore[arg-type]
    off = authentication.desired_auth(made(), Manager(), asked)  # type: ignore[arg-type]
    assert off
    assert off["platform"]["enabled"] is False


def test_a_site_that_runs_does_not_lose_its_lock(made: Any) -> None:
    locked = {"platform": {"enabled": True}, "globalValidation": {"requireAuthentication": True}}
    running = world(site(auth=locked))
    with pytest.raises(DeployError, match="from entra to key would accept every client"):
        prechecks.check_blockers(made(), running)
    prechecks.check_blockers(made(), world(site(auth=locked, state="Stopped")))
    client = "00000000-0000-0000-0000-000000000001"
    entra = made({"auth_client": client}, auth="entra")
    prechecks.check_blockers(entra, running)
    # Somebody has stopped what a deploy has made: started again, it is the version before.
    stopped = replace(deployed(entra, running), state="Stopped")
    with pytest.raises(DeployError, match="from entra to key would accept every client"):
        prechecks.check_blockers(made(), world(stopped))
    with pytest.raises(DeployError, match="from key to entra would reject every client"):
        prechecks.check_blockers(entra, world(deployed(made(), world(site()))))


def test_no_rollback_to_a_version_with_weaker_authentication(made: Any) -> None:
    spec = made(slot="staging")
    open_to_all = deployed(made(slot="staging", auth="public"), world(site()))
    slot = replace(open_to_all, name="staging")

    class Looking:
        where = "site app-hello"

        def read_state(self) -> ObservedState:
            serving = deployed(spec, world(site()))
            found = serving.record
            assert found
            assert slot.record
            found = replace(found, previous=slot.record.id)
            return world(replace(serving, settings={**serving.settings, **found.settings}), slot)

    with pytest.raises(DeployError, match="uses `auth: public`, but"):
        rollback.roll_back(Looking(), spec, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "1", '{"names": 1}'])
def test_an_invalid_metadata_setting(text: str) -> None:
    found = naming.read_record({naming.RECORD_SETTING: text})
    assert found is None


LOGS = {
    "an old pull": (
        "ERROR - Pulling docker image cr/hello@sha256:dd failed:\n"
        "INFO  - Stopping site hello because it failed during startup.",
        startup_failures.PULL,
    ),
    "a pull": (
        "Pulling image: cr/hello.\nContainer pull image failed with reason: ImagePullFailure. "
        "Revert by terminate.",
        startup_failures.PULL,
    ),
    "an old crash": (
        "ERROR - Container h_0 for site hello has exited, failing site start\n"
        "ERROR - Container h_0 didn't respond to HTTP pings on port: 8080, failing site start.",
        startup_failures.CRASH,
    ),
    "a crash": ("Container has finished running with exit code: 3.", startup_failures.CRASH),
    "a variable": (
        "cannot start: SERVE_THREADS is 'x': set a whole number\n"
        "Container has finished running with exit code: 78.",
        startup_failures.CONFIGURATION,
    ),
    "a reference": (
        f"{START_FAILURE}SERVE_KEY {UNRESOLVED_MESSAGE}: check that",
        startup_failures.UNRESOLVED_SECRET,
    ),
    "an old limit": (
        "ERROR - Container h_0 for site hello did not start within expected time limit. Elapsed",
        startup_failures.NO_ANSWER,
    ),
    "a limit": ("Site startup probe failed after 230.1241714 seconds.", startup_failures.NO_ANSWER),
}


@pytest.mark.parametrize("case", LOGS)
def test_causes(case: str) -> None:
    text, kind = LOGS[case]
    found = startup_failures.find_failure(text.splitlines(), "cr", "its identity x", 230)
    assert found
    assert found.category == kind
    assert found.what
    assert found.hint


def test_a_start_that_went_well_has_no_cause() -> None:
    lines = ["Site startup probe succeeded.", "Container has finished running with exit code: 0."]
    assert startup_failures.find_failure(lines, "cr", "x", 230) is None


def test_only_log_lines_after_the_image_count() -> None:
    lines = ["exit code: 1", "Pulling image: cr/hello@sha256:dd.", "Container is running."]
    assert startup_failures.lines_since_image(lines, "dd") == lines[1:]
    assert startup_failures.lines_since_image(lines, "ee") == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (
            AzureError(
                "Conflict", "Cannot modify this site because another operation is in progress.", 409
            ),
            diagnosis.CONFLICT,
        ),
        (AzureError("Conflict", "Website with given name a already exists.", 409), errors.TAKEN),
        (
            AzureError("Conflict", "the site will exceed the number of slots allowed", 409),
            errors.SLOTS,
        ),
        (
            AzureError("ExpectationFailed", "the 'a' slot did not respond to http ping.", 417),
            errors.WARM_UP,
        ),
        (AzureError("AuthorizationFailed", "The client 'x' …", 403), diagnosis.FORBIDDEN),
        (AzureError("Conflict", "something else", 409), diagnosis.CONFLICT),
        (AzureError("InternalServerError", "", 500), diagnosis.FAULT),
        (
            AzureError("BadRequest", "The parameter LinuxFxVersion has an invalid value.", 400),
            diagnosis.OTHER,
        ),
    ],
)
def test_rejections_are_classified(said: AzureError, kind: str, made: Any) -> None:
    found = errors.diagnose(made(), said)
    assert found.category == kind
    assert found.hint


def test_a_message_without_what_support_needs(made: Any) -> None:
    said = AzureError(
        "Conflict", "another operation is in progress. Details: Id: 1, RequestId: 2", 409
    )
    assert "RequestId" not in errors.diagnose(made(), said).what


def test_a_plan_of_another_target_is_rejected(made: Any) -> None:
    from deploy.core.entities import Plan

    with pytest.raises(DeployError, match="another target made this plan"):
        appservice.TARGET.apply(Plan(made(), IMAGE, ()), lambda url, headers: None)


def test_fingerprints_differ_by_any_setting() -> None:
    assert state.hash_settings({"A": "1"}) != state.hash_settings({"A": "2"})
    assert state.hash_settings({"A": "1", "B": "2"}) == state.hash_settings({"B": "2", "A": "1"})
