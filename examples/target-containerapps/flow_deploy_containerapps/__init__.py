"""Azure Container Apps as a target: each version is a revision; traffic rules select one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from deploy.azure import caller_key, container_variables, preflight
from deploy.azure.settings import AzurePlace, Identity, VaultEnv
from deploy.config.schema import TargetSettings
from deploy.core.entities import Spec
from deploy.core.errors import DeployError, Problem
from deploy.targets.blue_green import BlueGreenTarget
from flow_deploy_containerapps.app import ContainerApp


class ContainerApps(BlueGreenTarget):
    """The Container Apps target: one container app per flow and environment."""

    class Settings(TargetSettings):
        """How a flow runs on Container Apps."""

        app: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])+$", max_length=32)]
        auth: Literal["key", "public"]
        # Each core comes with 2 GiB of memory.
        cpu: Annotated[float, Field(gt=0, le=4, multiple_of=0.25, strict=False)] = 0.5
        replicas: Annotated[int, Field(ge=1, le=100)] = 1
        start_timeout: Annotated[int, Field(ge=1)] = 300
        env: VaultEnv = VaultEnv()

    class Place(AzurePlace):
        """Where container apps run."""

        # Pulls images, and reads the vault's secrets.
        identity: Identity
        managed_environment: Annotated[str, Field(pattern="^/subscriptions/.+")]
        key_vault: Annotated[str, Field(pattern=r"^https://[^/]+$")] | None = None

    def platform(self, spec: Spec) -> ContainerApp:
        return ContainerApp(spec)

    def check(self, spec: Spec) -> None:
        variables = {
            **container_variables.collect_plain(spec),
            **container_variables.collect_references(spec),
        }
        problems = [
            *preflight.find_problems(spec, "a container app", variables),
            *preflight.find_key_problems(spec, variables),
        ]
        if plain := sorted(spec.secrets & set(container_variables.collect_plain(spec))):
            message = f"{', '.join(plain)} would be stored as plain text"
            problems.append(
                Problem(spec.name, message, "name secrets of a vault in env.secret_refs")
            )
        if problems:
            raise DeployError.from_problems(problems)

    def headers(self, spec: Spec) -> Mapping[str, str]:
        return caller_key.read_headers(spec) if spec.settings.auth == "key" else {}


TARGET = ContainerApps()
