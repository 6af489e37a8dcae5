"""Azure Container Apps as a target: each version is a revision; traffic rules select one."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.azure import caller_key, container_variables, preflight
from deploy.core.errors import DeployError, Problem
from deploy.targets.blue_green import BlueGreenTarget
from flow_deploy_containerapps.app import ContainerApp
from flow_deploy_containerapps.infrastructure import ContainerAppsInfrastructure
from flow_deploy_containerapps.settings import AppSpec, Place, Settings


class ContainerApps(BlueGreenTarget[Settings, Place]):
    """The Container Apps target: one container app per flow and environment."""

    Settings = Settings
    Place = Place
    infrastructure = ContainerAppsInfrastructure()

    def platform(self, spec: AppSpec) -> ContainerApp:
        return ContainerApp(spec)

    def check(self, spec: AppSpec) -> None:
        plain = container_variables.collect_plain(spec)
        variables = {**plain, **container_variables.collect_references(spec)}
        problems = [
            *preflight.find_problems(spec, "a container app", variables),
            *preflight.find_key_problems(spec, variables),
        ]
        secrets = container_variables.list_plain_secrets(spec, plain)
        if secrets:
            message = f"{', '.join(secrets)} would be stored as plain text"
            problems.append(Problem(spec.name, message, "name vault secrets in env.secret_refs"))
        if problems:
            raise DeployError.from_problems(problems)

    def headers(self, spec: AppSpec) -> Mapping[str, str]:
        return caller_key.read_headers(spec) if spec.settings.auth == "key" else {}


TARGET = ContainerApps()
