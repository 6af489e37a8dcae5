"""Azure Container Apps as a target: a revision for each version, traffic rules that name one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from deploy.arm import keys, preflight, variables
from deploy.arm.settings import AzurePlace, Identity, VaultEnv
from deploy.errors import DeployError, Problem
from deploy.model import Spec
from deploy.schema import TargetSettings
from deploy.targets.side_by_side import SideBySide
from flow_deploy_containerapps.app import App


class ContainerApps(SideBySide):
    """One container app for a flow in an environment; `apply` makes it where it is not there."""

    class Settings(TargetSettings):
        """How a flow runs on Container Apps; each processor comes with 2 GiB."""

        app: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])+$", max_length=32)]
        auth: Literal["key", "public"]
        cpu: Annotated[float, Field(gt=0, le=4, multiple_of=0.25, strict=False)] = 0.5
        replicas: Annotated[int, Field(ge=1, le=100)] = 1
        start_timeout: Annotated[int, Field(ge=1)] = 300
        env: VaultEnv = VaultEnv()

    class Place(AzurePlace):
        """Where apps run. The identity pulls their images, and reads the vault."""

        identity: Identity
        managed_environment: Annotated[str, Field(pattern="^/subscriptions/.+")]
        key_vault: Annotated[str, Field(pattern=r"^https://[^/]+$")] | None = None

    def platform(self, spec: Spec) -> App:
        return App(spec)

    def check(self, spec: Spec) -> None:
        given = {**variables.plain(spec), **variables.references(spec)}
        problems = [
            *preflight.problems(spec, "a container app", given),
            *preflight.key(spec, given),
        ]
        if plain := sorted(spec.secrets & set(variables.plain(spec))):
            what = f"{', '.join(plain)} would be stored as plain text"
            problems.append(Problem(spec.name, what, "name secrets of a vault in env.secret_refs"))
        if problems:
            raise DeployError.of(problems)

    def headers(self, spec: Spec) -> Mapping[str, str]:
        return keys.headers(spec) if spec.settings.auth == "key" else {}


TARGET = ContainerApps()
