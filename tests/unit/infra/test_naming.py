"""Names that Azure takes, whatever the environment is called, and jobs as CI names them."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from deploy.config.infra_model import InfraModel
from deploy.infra import naming
from deploy.infra.federation import list_federated_credentials
from deploy.infra.target import find_infrastructures

# "Naming rules and restrictions for Azure resources".
RULES = {
    "group": r"[\w.()-]{1,90}",
    "budget": r"[\w-]{1,63}",
    "logs": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "insights": r"[^%&\\?/]{1,260}",
    "alerts": r"[^:%&\\?/]{1,260}",
    "registry": r"[a-zA-Z0-9]{5,50}",
    "vault": r"[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "workspaceVault": r"[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "openai": r"[a-zA-Z0-9][a-zA-Z0-9-]{1,62}",
    "storage": r"[a-z0-9]{3,24}",
    "network": r"[A-Za-z0-9][\w.-]{0,62}\w",
    "workspace": r"[A-Za-z0-9][\w-]{2,32}",
    "plan": r"[A-Za-z0-9-]{1,60}",
    "autoscale": r"[\w.-]{1,260}",
    **dict.fromkeys(
        ("deployer", "runner", "workspaceIdentity", "slotIdentity"), r"[A-Za-z0-9][\w-]{2,127}"
    ),
}


@pytest.mark.parametrize("workload", ["ab", "flowsflows"])
@pytest.mark.parametrize("environment", ["d", "prod", "Prod_EU.2", "production-in-the-far-north"])
@pytest.mark.parametrize("unique", ["ab", "xxxxx", "12345678"])
def test_every_name_is_valid_in_azure(workload: str, environment: str, unique: str) -> None:
    infra = InfraModel(workload=workload)
    infra = infra.model_copy(update={"unique": unique})
    convention = naming.create_convention(infra, environment, None)
    names = naming.build_names(convention)
    for target in find_infrastructures().values():
        names |= target.build_names(convention)
    assert set(names) == set(RULES)
    for key, name in names.items():
        assert re.fullmatch(RULES[key], name), (key, name)
        if key in ("registry", "vault", "storage", "openai", "workspaceVault"):
            assert name.endswith(unique)


def test_the_end_is_another_in_every_subscription_and_environment() -> None:
    infra = InfraModel()
    ends = {naming.build_unique_suffix(infra, s, e) for s in ("a", "b") for e in ("dev", "prod")}
    assert len(ends) == 4
    assert naming.build_unique_suffix(infra, "A", "dev") == naming.build_unique_suffix(
        infra, "a", "dev"
    )
    assert naming.build_unique_suffix(InfraModel(unique="mine"), "a", "dev") == "mine"


@pytest.mark.parametrize(
    ("ids", "subject"),
    [
        ({}, "repo:contoso/flows:environment:prod"),
        (
            {"owner_id": "12", "repository_id": "345"},
            "repo:contoso@12/flows@345:environment:prod",
        ),
    ],
)
def test_subjects_of_github_with_and_without_ids(ids: dict[str, str], subject: str) -> None:
    infra = InfraModel.model_validate({"github": {"repository": "contoso/flows", **ids}})
    (made,) = list_federated_credentials(infra, "prod")
    assert made.subject == subject


def test_status_jobs_may_sign_in_without_a_reviewer() -> None:
    infra = InfraModel.model_validate({"github": {"repository": "contoso/flows", "drift": True}})
    assert [(one.name, one.subject) for one in list_federated_credentials(infra, "prod")] == [
        ("github-prod", "repo:contoso/flows:environment:prod"),
        ("github-prod-drift", "repo:contoso/flows:environment:prod-drift"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"github": {"repository": "contoso/flows", "owner_id": "12"}},
        {"zone_redundant": True, "plan": {"sku": "S1"}},
        {"plan": {"min": 4, "max": 2}},
        {"plan": {"sku": "B1"}},
        {"budget": {"amount": 1, "start": "2026-12-24"}},
        {"addresses": "10.0.0.0/28"},
        {"contacts": ["nobody"]},
        {"workload": "Flows"},
    ],
)
def test_invalid_names_are_rejected(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InfraModel.model_validate(wrong)
