"""The model of the block `infra` in environments.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from deploy.config.strict_model import StrictModel

EmailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
NamePart = Annotated[str, Field(pattern=r"^[a-z0-9]{2,8}$")]
"""A part of names in Azure."""


class GitHubModel(StrictModel):
    """The repository whose workflow deploys, as `owner/name`.

    The ids are for one that was created or renamed since 2026-07-15: its tokens have them (GitHub,
    "OpenID Connect reference").
    """

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    owner_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    repository_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    drift: bool = Field(
        False, description="Jobs of the GitHub environment ‹environment›-drift sign in, too."
    )

    @model_validator(mode="after")
    def _check_ids(self) -> GitHubModel:
        if (self.owner_id is None) != (self.repository_id is None):
            raise ValueError("owner_id and repository_id go together")
        return self


class AzureDevOpsModel(StrictModel):
    """Issuer and subject, copied from the service connection in Azure DevOps."""

    issuer: Annotated[str, Field(pattern="^https://")]
    subject: Annotated[str, Field(min_length=1)]


class BudgetModel(StrictModel):
    """A monthly amount in the billing currency, from the first of a month on."""

    amount: Annotated[int, Field(ge=1)]
    start: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-01$")]


class ModelModel(StrictModel):
    """A deployment of a model of Azure OpenAI; `capacity` in thousands of tokens a minute."""

    name: Annotated[str, Field(pattern=r"^[\w.-]{2,64}$")]
    model: str
    version: str
    sku: str = "GlobalStandard"
    capacity: Annotated[int, Field(ge=1)] = 10


class PlanModel(StrictModel):
    """The size of the App Service plan, and the range of its instances."""

    sku: Annotated[str, Field(pattern=r"^(S[123]|P[0-9]m?v[234])$")] = "P0v3"
    min: Annotated[int, Field(ge=1, le=30)] = 1
    max: Annotated[int, Field(ge=1, le=30)] = 3

    @model_validator(mode="after")
    def _check_order(self) -> PlanModel:
        if self.min > self.max:
            raise ValueError("min may not be above max")
        return self


class InfraModel(StrictModel):
    """The environment's infrastructure (docs/infrastructure.md)."""

    workload: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,9}$")] = Field(
        "flows", description="The part of all resource names after their type."
    )
    unique: NamePart | None = Field(
        None, description="The suffix of names that must be unique in Azure; by default, a hash."
    )
    names: dict[str, str] = Field({}, description="Names that differ from the convention.")
    location: Annotated[str, Field(pattern=r"^[a-z0-9]+$")] | None = None
    owner: str | None = None
    cost_center: str | None = None
    contacts: list[EmailAddress] = Field(
        [], description="Who receives alerts, also about the budget."
    )
    budget: BudgetModel | None = None
    private: bool = Field(False, description="All resources use private endpoints.")
    addresses: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+\.\d+/(1[6-9]|2[0-4])$")] = Field(
        "10.20.0.0/24", description="The addresses of the virtual network, if private."
    )
    zone_redundant: bool = False
    log_days: Annotated[int, Field(ge=30, le=730)] = 30
    github: GitHubModel | None = None
    azure_devops: AzureDevOpsModel | None = None
    publishes: bool = Field(True, description="CI publishes or promotes to this registry.")
    promote_from: str | None = Field(
        None, description="The environment whose images are promoted to this one."
    )
    models: list[ModelModel] = Field([], description="Deployments of Azure OpenAI to create.")
    plan: PlanModel = PlanModel()

    @model_validator(mode="after")
    def _check_zones(self) -> InfraModel:
        # "Reliability in Azure App Service": zones need a Premium plan.
        if self.zone_redundant and self.plan.sku.startswith("S"):
            raise ValueError("zone_redundant needs a Premium plan: plan.sku P0v3 or larger")
        return self
