"""Settings in deploy.yaml and environments.yaml that Azure targets share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol

from pydantic import Field

from deploy.azure.resource_ids import IDENTITY_EXAMPLE, IDENTITY_PATTERN, SecretReference
from deploy.config.schema import CloudModel, EnvModel, PlaceModel
from deploy.config.strict_model import VariableName
from deploy.core.entities import Spec

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


class _VaultEnv(Protocol):
    @property
    def secret(self) -> list[str]: ...

    @property
    def secret_refs(self) -> Mapping[str, str]: ...


class AuthSettings(Protocol):
    """The settings of a target whose containers may require a key from clients."""

    @property
    def auth(self) -> str:
        """How a client authenticates; `key` means with a key that the container checks."""
        ...

    @property
    def env(self) -> _VaultEnv:
        """The variables of the container, with references to secrets."""
        ...


class PlainSecretsSettings(AuthSettings, Protocol):
    """The settings of a target that stores variables, among them secrets if that is accepted."""

    @property
    def plain_secrets(self) -> bool:
        """Whether secrets may be stored as plain text."""
        ...


class VaultPlace(Protocol):
    """A place whose Key Vault may hold the keys of clients."""

    @property
    def cloud(self) -> str | CloudModel:
        """The Azure cloud, by name or with its addresses."""
        ...

    @property
    def key_vault(self) -> str | None:
        """The URL of the vault."""
        ...


VaultSpec = Spec[AuthSettings, VaultPlace]
"""A spec whose secrets and client key may be in Key Vault."""
