"""Plan, apply, read and delete an environment's infrastructure with the Azure CLI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.config.configuration import Project
from deploy.core import progress
from deploy.core.errors import DeployError
from deploy.infra import azure_cli, files, naming, what_if
from deploy.infra.desired import DesiredState, require_complete


def build_deployment_name(desired: DesiredState) -> str:
    """Return the name of the deployment, under which Azure stores its outputs."""
    return f"{desired.infra.workload}-{desired.environment}"


def plan(project: Project, desired: DesiredState) -> list[dict[str, str]]:
    """Return the changes that `apply` would make, as rows. Change nothing in Azure."""
    path = _parameters(project, desired)
    with progress.phase("plan", f"what-if of {desired.names.group}"):
        result = azure_cli.run_json(
            [*_deployment(desired, "what-if", path), "--no-pretty-print"], "what-if"
        )
    return what_if.build_rows(result or {})


def apply(project: Project, desired: DesiredState) -> dict[str, Any]:
    """Create what is missing, change what differs, and return the outputs."""
    path = _parameters(project, desired)
    with progress.phase("apply", desired.names.group):
        result = azure_cli.run_json(_deployment(desired, "create", path), "apply")
    return _outputs((result or {}).get("properties", {}).get("outputs"))


def read_outputs(desired: DesiredState) -> dict[str, Any]:
    """Return the outputs of the environment's last deployment: keys of environments.yaml."""
    require_complete(desired)
    options = [
        "--name",
        build_deployment_name(desired),
        "--subscription",
        str(desired.subscription),
    ]
    arguments = ["deployment", "sub", "show", *options, "--query", "properties.outputs"]
    outputs = _outputs(
        azure_cli.run_json(arguments, f"deployment {build_deployment_name(desired)}")
    )
    if not outputs:
        what = f"the deployment {build_deployment_name(desired)} has no outputs"
        raise DeployError("Azure", what, f"`inv infra.apply --env {desired.environment}` first")
    return outputs


def destroy(desired: DesiredState, confirmed: str) -> None:
    """Delete the resource group and everything in it.

    Raise `DeployError` unless `confirmed` is the group's name and the group has this environment's
    tag.
    """
    group = desired.names.group
    if confirmed != group:
        what = f"{confirmed!r} is not its name"
        hint = "nothing was removed; type the name, or give it with --name"
        raise DeployError(f"resource group {group}", what, hint)
    require_complete(desired)
    options = ["--name", group, "--subscription", str(desired.subscription)]
    resource_group = azure_cli.run_json(["group", "show", *options], f"resource group {group}")
    tags = (resource_group or {}).get("tags") or {}
    if tags.get(naming.ENVIRONMENT_TAG) != desired.environment:
        tag = f"{naming.ENVIRONMENT_TAG}: {desired.environment}"
        what = f"it has no tag {tag}, so this project did not create it"
        raise DeployError(f"resource group {group}", what, "delete it manually if that is intended")
    with progress.phase("destroy", group):
        azure_cli.run_json(["group", "delete", *options, "--yes"], f"resource group {group}")


def _deployment(desired: DesiredState, verb: str, path: Path) -> list[str]:
    return [
        *("deployment", "sub", verb),
        *("--name", build_deployment_name(desired)),
        *("--subscription", str(desired.subscription)),
        *("--location", str(desired.infra.location)),
        *("--parameters", str(path)),
    ]


def _parameters(project: Project, desired: DesiredState) -> Path:
    path, is_new = files.write_parameters(project, require_complete(desired))
    if is_new:
        progress.note("infra", f"{path.relative_to(project.root)} is written anew: commit it")
    return path


def _outputs(outputs: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: output["value"] for key, output in (outputs or {}).items()}
