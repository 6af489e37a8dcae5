"""`inv infra.check` against an emulated Azure that was made from the Bicep files themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.azure import clouds
from deploy.config.schema import CloudModel
from deploy.core.errors import DeployError
from deploy.infra import comparison, parameters, resource_types
from deploy.infra.comparison import Finding
from deploy.infra.desired import DesiredState
from deploy.infra.role_assignments import ROLE_IDS
from deploy.sandbox import azure as emulator
from deploy.sandbox.identities import READER
from deploy.targets.appservice import infrastructure as appservice
from deploy.targets.azureml import infrastructure as azureml
from tests import environments
from tests.bicep import evaluate
from tests.bicep.deployed_resources import BicepAzure, BicepResources, derive_principal_id
from tests.environments import APPSERVICE, AZUREML

INFRA = Path(__file__).parents[3] / "infra"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BicepAzure]:
    with BicepAzure(tmp_path_factory.mktemp("azure")) as azure:
        yield azure


@pytest.fixture
def azure(servers: BicepAzure, monkeypatch: pytest.MonkeyPatch) -> Iterator[BicepAzure]:
    servers.reset()
    sign_in(servers, monkeypatch, group=[READER])
    yield servers
    assert servers.problems() == []


def sign_in(azure: BicepAzure, monkeypatch: pytest.MonkeyPatch, **roles: list[str]) -> None:
    for name in emulator.CONFLICTING_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in azure.environment(azure.identity("somebody", **roles)).items():
        monkeypatch.setenv(name, value)
    clouds.get_credential.cache_clear()


def delivered(azure: BicepAzure, wanted: DesiredState) -> DesiredState:
    """Let the emulator have what the Bicep files make of `wanted`."""
    origin = wanted.promotion_source and replace(
        wanted.promotion_source, subscription=azure.arm.subscription
    )
    chosen = CloudModel.model_validate(azure.cloud)
    made = replace(
        wanted, subscription=azure.arm.subscription, cloud=chosen, promotion_source=origin
    )
    entry = INFRA / parameters.find_entry_point(made)
    deployment = evaluate.deploy(entry, parameters.build_parameters(made), azure.arm.subscription)
    azure.infrastructure.add_resources(deployment.resources)
    return made


@pytest.mark.parametrize("options", environments.OPTIONS)
def test_bicep_resources_are_those_requested(azure: BicepAzure, options: tuple[str, ...]) -> None:
    assert comparison.compare(delivered(azure, environments.large(*options))) == []


Fault = Callable[[BicepResources], None]


def role(scope: str, name: str) -> Callable[[BicepResources], Any]:
    def find(there: BicepResources) -> Any:
        (found,) = [
            one
            for one in there.resources.values()
            if one.kind == resource_types.ROLE_ASSIGNMENT
            and one.body["properties"]["scope"].endswith(scope)
            and one.body["properties"]["roleDefinitionId"].endswith(ROLE_IDS[name])
        ]
        return found

    return find


def wrong_role(there: BicepResources) -> None:
    given = role("mlw-flows-prod", "AzureML Data Scientist")(there)
    given.body["properties"]["roleDefinitionId"] = f"/x/{ROLE_IDS['Contributor']}"


def role_too_high(there: BicepResources) -> None:
    given = role("mlw-flows-prod", "AzureML Data Scientist")(there)
    given.body["properties"]["scope"] = given.id.partition("/providers/")[0]


def missing_identity(there: BicepResources) -> None:
    there.get_resource(azureml.WORKSPACE).body["identity"] = {"type": "SystemAssigned"}


def no_identity_at_all(there: BicepResources) -> None:
    there.remove(there.get_resource(resource_types.IDENTITY, "-workspace"))


def admin_user(there: BicepResources) -> None:
    there.get_resource(resource_types.REGISTRY).body["properties"]["adminUserEnabled"] = True


def small_registry(there: BicepResources) -> None:
    there.get_resource(resource_types.REGISTRY).body["sku"]["name"] = "Basic"


def other_region(there: BicepResources) -> None:
    there.get_resource(azureml.STORAGE).body["location"] = "North Europe"


def no_vault(there: BicepResources) -> None:
    there.remove(there.get_resource(resource_types.VAULT, "kv-flows-prod-abc"))


def foreign_job(there: BicepResources) -> None:
    given = there.get_resource(resource_types.FEDERATED_CREDENTIAL, "github-prod").body[
        "properties"
    ]
    given["subject"] = "repo:contoso/flows:ref:refs/heads/main"


def no_tag(there: BicepResources) -> None:
    del there.get_resource(azureml.WORKSPACE).body["tags"]["owner"]


FAULTS: dict[Fault, list[tuple[str, str, str, str]]] = {
    wrong_role: [
        (
            "missing",
            "role of id-flows-prod-deploy on workspaces mlw-flows-prod",
            "Contributor",
            "AzureML Data Scientist",
        ),
        (
            "not requested",
            "role of id-flows-prod-deploy on workspaces mlw-flows-prod",
            "Contributor",
            "-",
        ),
    ],
    role_too_high: [
        (
            "missing",
            "role of id-flows-prod-deploy on workspaces mlw-flows-prod",
            "-",
            "AzureML Data Scientist",
        ),
        (
            "not requested",
            "role of id-flows-prod-deploy on resource group rg-flows-prod",
            "AzureML Data Scientist",
            "-",
        ),
    ],
    missing_identity: [
        ("missing", "workspaces mlw-flows-prod: identity", "-", "id-flows-prod-workspace")
    ],
    no_identity_at_all: [
        (
            "missing",
            "userAssignedIdentities id-flows-prod-workspace",
            "-",
            "id-flows-prod-workspace",
        )
    ],
    admin_user: [
        ("different", "registries crflowsprodabc: properties.adminUserEnabled", "true", "false")
    ],
    small_registry: [("different", "registries crflowsprodabc: sku", "Basic", "Premium")],
    other_region: [
        ("different", "storageAccounts stflowsprodabc: location", "northeurope", "westeurope")
    ],
    no_vault: [("missing", "vaults kv-flows-prod-abc", "-", "kv-flows-prod-abc")],
    foreign_job: [
        (
            "missing",
            "federated credential of id-flows-prod-deploy",
            "-",
            "https://token.actions.githubusercontent.com repo:contoso/flows:environment:prod",
        ),
        (
            "not requested",
            "federated credential of id-flows-prod-deploy",
            "https://token.actions.githubusercontent.com repo:contoso/flows:ref:refs/heads/main",
            "-",
        ),
    ],
    no_tag: [("different", "workspaces mlw-flows-prod: tag owner", "-", "team-flows")],
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_faults_are_found(azure: BicepAzure, fault: Fault) -> None:
    wanted = delivered(azure, environments.large(AZUREML, unique="abc"))
    fault(azure.infrastructure)
    assert [said(one) for one in comparison.compare(wanted)] == FAULTS[fault]


def test_a_slot_that_runs_as_the_site_is_found(azure: BicepAzure) -> None:
    wanted = delivered(azure, environments.small(APPSERVICE, unique="abc"))
    slot = azure.infrastructure.get_resource(appservice.SLOT)
    runner = azure.infrastructure.get_resource(resource_types.IDENTITY, "-run").id
    slot.body["identity"]["userAssignedIdentities"] = {runner: {}}
    assert [said(one) for one in comparison.compare(wanted)] == [
        (
            "missing",
            "slots app-faq-prod-abc/staging: identity",
            "id-flows-prod-run",
            "id-flows-prod-slot",
        )
    ]


def test_more_instances_by_load_are_no_difference(azure: BicepAzure) -> None:
    wanted = delivered(azure, environments.small(APPSERVICE))
    azure.infrastructure.get_resource(appservice.PLAN).body["sku"]["capacity"] = 3
    assert comparison.compare(wanted) == []


def test_no_resource_exists(azure: BicepAzure) -> None:
    wanted = delivered(azure, environments.small(AZUREML))
    group = azure.infrastructure.get_resource(resource_types.GROUP)
    azure.infrastructure.resources = {group.id.lower(): group}
    found = comparison.compare(wanted)
    assert {one.finding for one in found} == {"missing"}
    assert len(found) == 11


def test_a_missing_read_permission_is_reported(
    azure: BicepAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = delivered(azure, environments.small(AZUREML))
    sign_in(azure, monkeypatch)
    with pytest.raises(DeployError, match="does not have authorization") as raised:
        comparison.compare(wanted)
    assert "role Reader" in raised.value.problems[0].hint


def test_principals_are_not_all_the_same() -> None:
    assert derive_principal_id("a") != derive_principal_id("b")


def said(finding: Finding) -> tuple[str, str, str, str]:
    return finding.finding, finding.what, finding.there, finding.requested
