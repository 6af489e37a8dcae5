"""Settings of the target `containerapps` in deploy.yaml and environments.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploy.azure.settings import AzurePlace, Identity, VaultEnv
from deploy.core.entities import Spec
from deploy.targets.blue_green import BlueGreenSettings


class Settings(BlueGreenSettings):
    """How a flow runs on Container Apps."""

    app: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])+$", max_length=32)]
    auth: Literal["key", "public"]
    # Each core comes with 2 GiB of memory.
    cpu: Annotated[float, Field(gt=0, le=4, multiple_of=0.25, strict=False)] = 0.5
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    env: VaultEnv = VaultEnv()


class Place(AzurePlace):
    """Where container apps run."""

    # Pulls images, and reads the vault's secrets.
    identity: Identity
    managed_environment: Annotated[str, Field(pattern="^/subscriptions/.+")]
    key_vault: Annotated[str, Field(pattern=r"^https://[^/]+$")] | None = None


AppSpec = Spec[Settings, Place]
