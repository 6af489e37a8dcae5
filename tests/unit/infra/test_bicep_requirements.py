"""infra/*.bicep and the model say the same: resources, settings, roles, names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.infra import parameters, resource_types
from deploy.infra.desired import DesiredState
from deploy.infra.requirements import Requirements, collect_requirements
from deploy.infra.role_assignments import ROLE_IDS
from deploy.targets.appservice import infrastructure as appservice
from deploy.targets.azureml import infrastructure as azureml
from tests import environments
from tests.bicep import evaluate, syntax
from tests.bicep.evaluate import Deployment, Made

INFRA = Path(__file__).parents[3] / "infra"
# What belongs to another resource: without it that one does not do what the model says of it.
PARTS = {
    resource_types.ROLE_ASSIGNMENT,
    resource_types.FEDERATED_CREDENTIAL,
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
}
# Resources that tell in their own way how large they are.
COUNTED = {appservice.PLAN, resource_types.MODEL_DEPLOYMENT}
ENVIRONMENTS = [
    pytest.param(make(*options, **more), id=f"{make.__name__}-{'-'.join(options)}{''.join(more)}")
    for options in environments.OPTIONS
    for make, more in (
        (environments.small, {}),
        (environments.small, {"private": True}),
        (environments.large, {}),
        (environments.large, {"publishes": False}),
    )
]


def made_from(wanted: DesiredState) -> Deployment:
    entry = INFRA / parameters.find_entry_point(wanted)
    return evaluate.deploy(entry, parameters.build_parameters(wanted), str(wanted.subscription))


def at(body: Any, path: str) -> Any:
    for part in path.split("."):
        body = body[part]
    return body


@pytest.mark.parametrize("wanted", ENVIRONMENTS)
def test_the_same_resources(wanted: DesiredState) -> None:
    made = {one.id: one for one in made_from(wanted).resources if one.type not in PARTS}
    needed = {one.id: one for one in collect_requirements(wanted).resources}
    assert sorted(made) == sorted(needed)
    for id, resource in needed.items():
        assert (resource.kind, resource.name) == (made[id].type, made[id].name)
        assert resource.kind.api_version == made[id].version
        assert resource.sku == size_of(made[id])


@pytest.mark.parametrize("wanted", ENVIRONMENTS)
def test_the_same_settings_and_identities(wanted: DesiredState) -> None:
    made = {one.id: one.body for one in made_from(wanted).resources}
    for resource in collect_requirements(wanted).resources:
        for setting in resource.settings:
            assert at(made[resource.id], setting.path) == setting.value, (resource, setting)
        given = (made[resource.id].get("identity") or {}).get("userAssignedIdentities") or {}
        assert list(given) == ([resource.identity] if resource.identity else [])


@pytest.mark.parametrize("wanted", ENVIRONMENTS)
def test_the_same_roles_for_the_same_reasons(wanted: DesiredState) -> None:
    names = {id: name for name, id in ROLE_IDS.items()}
    made = [
        (
            one.body["properties"]["principalId"].removeprefix("principal of "),
            names[one.body["properties"]["roleDefinitionId"].rpartition("/")[2]],
            one.scope,
            one.body["properties"]["description"],
        )
        for one in made_from(wanted).of(resource_types.ROLE_ASSIGNMENT)
    ]
    needed = [
        (one.principal, one.role, one.scope, one.why)
        for one in collect_requirements(wanted).assignments
    ]
    assert sorted(made) == sorted(needed)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("wanted", ENVIRONMENTS)
def test_the_same_federated_credentials(wanted: DesiredState) -> None:
    made = [
        (
            one.name.rpartition("/")[2],
            one.body["properties"]["issuer"],
            one.body["properties"]["subject"],
        )
        for one in made_from(wanted).of(resource_types.FEDERATED_CREDENTIAL)
    ]
    assert made == [
        (one.name, one.issuer, one.subject) for one in collect_requirements(wanted).federations
    ]


@pytest.mark.parametrize("wanted", ENVIRONMENTS)
def test_every_resource_that_can_have_tags_has_them(wanted: DesiredState) -> None:
    without = {resource_types.BUDGET, resource_types.MODEL_DEPLOYMENT, *appservice.SITE_PARTS}
    for made in made_from(wanted).resources:
        if made.type not in PARTS | without:
            assert dict(wanted.tags).items() <= made.body["tags"].items(), made


@pytest.mark.parametrize("wanted", ENVIRONMENTS)
def test_every_supported_resource_has_diagnostics(wanted: DesiredState) -> None:
    watched = {
        resource_types.REGISTRY,
        resource_types.VAULT,
        resource_types.OPENAI_ACCOUNT,
        azureml.WORKSPACE,
        appservice.SITE,
    }
    deployment = made_from(wanted)
    settings = [one.scope for one in deployment.of("Microsoft.Insights/diagnosticSettings")]
    assert sorted(settings) == sorted(one.id for one in deployment.resources if one.type in watched)


def test_private_means_that_nothing_is_public() -> None:
    deployment = made_from(environments.large(*environments.OPTIONS[2]))
    public = {
        one.name: (one.body.get("properties") or {}).get("publicNetworkAccess")
        for one in deployment.resources
        if "publicNetworkAccess" in (one.body.get("properties") or {})
    }
    assert len(public) == 8
    assert set(public.values()) == {"Disabled"}
    (network,) = deployment.of(resource_types.NETWORK)
    subnets = network.body["properties"]["subnets"]
    assert [one["properties"]["addressPrefix"] for one in subnets] == [
        "10.20.0.0/26",
        "10.20.0.64/26",
    ]


@pytest.mark.parametrize("options", environments.OPTIONS)
@pytest.mark.parametrize("make", [environments.large, environments.small])
def test_private_endpoints_and_dns_zones_match(
    options: tuple[str, ...], make: Callable[..., DesiredState]
) -> None:
    deployment = made_from(make(*options, private=True))
    used = {
        one["properties"]["privateDnsZoneId"].rpartition("/")[2]
        for group in deployment.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
        for one in group.body["properties"]["privateDnsZoneConfigs"]
    }
    assert used == {zone.name for zone in deployment.of(resource_types.PRIVATE_DNS_ZONE)}


def test_names_are_those_of_the_convention() -> None:
    types = syntax.load(INFRA / "types.bicep").types
    assert list(types["namesType"]) == list(
        parameters.build_parameters(environments.small("azureml"))["names"]
    )


@pytest.mark.parametrize("options", environments.OPTIONS)
def test_outputs_are_keys_of_environments_yaml(options: tuple[str, ...]) -> None:
    wanted = environments.small(*options)
    names = wanted.names
    every = {
        "subscription": wanted.subscription,
        "resource_group": "rg-flows-prod",
        "registry": f"{names.registry}.azurecr.io",
        "identity": wanted.build_id(resource_types.IDENTITY, names.runner),
        "workspace": "mlw-flows-prod",
        "slot_identity": wanted.build_id(
            resource_types.IDENTITY, wanted.target_names["slotIdentity"]
        ),
        "app": appservice.build_name_pattern(wanted),
        "key_vault": f"https://{names.vault}.vault.azure.net",
    }
    only = {"azureml": {"workspace"}, "appservice": {"slot_identity", "app", "key_vault"}}
    absent = {key for option, keys in only.items() if option not in options for key in keys}
    outputs = made_from(wanted).outputs
    assert outputs == {key: value for key, value in every.items() if key not in absent}


def size_of(made: Made) -> str:
    """Return the SKU as the model says it."""
    body = made.body
    if made.type in COUNTED:
        sign = f"{body['sku']['name']} × {body['sku']['capacity']}"
        return sign
    sku = body.get("sku") or (body.get("properties") or {}).get("sku") or {}
    return str(sku.get("name", ""))


def test_requirements_are_values() -> None:
    wanted = environments.large(*environments.OPTIONS[0])
    assert collect_requirements(wanted) == collect_requirements(wanted)
    assert isinstance(collect_requirements(wanted), Requirements)
