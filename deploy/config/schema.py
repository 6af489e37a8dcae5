"""The settings and places of targets: an environment in deploy.yaml and in environments.yaml.

Docstrings of models are descriptions in the published JSON Schemas.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploy.config.infra_model import InfraModel
from deploy.config.strict_model import StrictModel, VariableName

# A host or host:port, optionally with folders: no scheme, no tag, no upper case.
REGISTRY_PATTERN = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-][a-z0-9]+)*)*$"


class EnvModel(StrictModel):
    """Variables of the container: values, and names of the deploying process's variables."""

    clear: dict[str, str] = Field({})
    secret: list[VariableName] = Field([])


class CloudModel(StrictModel):
    """The addresses of another Azure cloud, such as Azure Stack Hub."""

    resource_manager: Annotated[str, Field(pattern="^https://")]
    authority: Annotated[str, Field(pattern="^https://")] | None = None
    registry_suffix: Annotated[str, Field(pattern=r"^\.")] = ".azurecr.io"
    vault_suffix: str = ".vault.azure.net"
    polling: Annotated[float, Field(gt=0, strict=False)] | None = Field(
        None, description="Seconds between two polls of a long operation."
    )


class PlaceModel(StrictModel):
    """The keys of an environment in environments.yaml for all targets; each target adds its own."""

    registry: Annotated[str, Field(pattern=REGISTRY_PATTERN)] | None = Field(
        None,
        description="Host, port and folder of a registry, without https:// and in lower case.",
        examples=["crchatprod.azurecr.io"],
    )
    registry_login: Literal["azure", "docker"] | None = Field(
        None,
        description="How to sign in: Entra, or Docker's credentials; by default, by its name.",
    )
    cloud: Literal["public", "usgovernment", "china"] | CloudModel = "public"
    subscription: str | None = None
    infra: InfraModel | None = Field(
        None,
        description="For inv infra: what to create once, before a deploy (docs/infrastructure.md).",
    )


class TargetSettings(StrictModel):
    """The settings that every target has; each target adds its own."""

    target: str
    env: EnvModel = EnvModel()

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The variables whose values come from the deploying process, and are never displayed."""
        return tuple(self.env.secret)


class CloudSettings(TargetSettings):
    """The settings of every target in a cloud."""

    auth: str
