"""What deploy.yaml and environments.yaml say for every target in Azure, or for most."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deploy.arm.references import IDENTITY, IDENTITY_EXAMPLE, Reference
from deploy.schema import EnvModel, PlaceModel, Variable

Identity = Annotated[str, Field(pattern=IDENTITY)]


class VaultEnv(EnvModel):
    """Variables; `secret_refs` are secrets of a vault, which the identity of what runs reads."""

    secret_refs: dict[Variable, Reference] = Field(default_factory=dict)


class AzurePlace(PlaceModel):
    """Where in Azure, and the identity of what runs there."""

    subscription: Annotated[str, Field(min_length=1)]
    resource_group: Annotated[str, Field(min_length=1)]
    identity: Identity | None = Field(
        None,
        description="The id of a user-assigned identity; a system-assigned one without it.",
        examples=[IDENTITY_EXAMPLE],
    )
