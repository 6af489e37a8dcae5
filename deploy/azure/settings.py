"""Settings in deploy.yaml and environments.yaml that Azure targets share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deploy.azure.resource_ids import IDENTITY_EXAMPLE, IDENTITY_PATTERN, SecretReference
from deploy.config.schema import EnvModel, PlaceModel, VariableName

Identity = Annotated[str, Field(pattern=IDENTITY_PATTERN)]


class VaultEnv(EnvModel):
    """The `env` block of a target with Key Vault references."""

    # Key Vault secrets, which the identity of the container reads.
    secret_refs: dict[VariableName, SecretReference] = Field(default_factory=dict)


class AzurePlace(PlaceModel):
    """A location in Azure, and the identity of the containers there."""

    subscription: Annotated[str, Field(min_length=1)]
    resource_group: Annotated[str, Field(min_length=1)]
    identity: Identity | None = Field(
        None,
        description="The id of a user-assigned identity; a system-assigned one without it.",
        examples=[IDENTITY_EXAMPLE],
    )
