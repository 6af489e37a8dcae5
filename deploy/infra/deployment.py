"""Plan, apply, read and remove an environment's infrastructure, by Azure's own tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import console
from deploy.config import Project
from deploy.errors import DeployError
from deploy.infra import az, files, naming, whatif
from deploy.infra.wanted import Wanted, complete


def name_of(wanted: Wanted) -> str:
    """Return the name of the deployment, under which Azure keeps its outputs."""
    return f"{wanted.infra.workload}-{wanted.environment}"


def plan(project: Project, wanted: Wanted) -> list[dict[str, str]]:
    """Return what applying would do, in rows. Nothing is changed in Azure."""
    path = _parameters(project, wanted)
    with console.phase("plan", f"what-if of {wanted.names.group}"):
        found = az.run([*_deployment(wanted, "what-if", path), "--no-pretty-print"], "what-if")
    return whatif.rows_of(found or {})


def apply(project: Project, wanted: Wanted) -> dict[str, Any]:
    """Make what is missing, change what differs, and return the outputs."""
    path = _parameters(project, wanted)
    with console.phase("apply", wanted.names.group):
        found = az.run(_deployment(wanted, "create", path), "apply")
    return _outputs((found or {}).get("properties", {}).get("outputs"))


def outputs(wanted: Wanted) -> dict[str, Any]:
    """Return what the last deployment of the environment gave: keys of environments.yaml."""
    complete(wanted)
    about = ["--name", name_of(wanted), "--subscription", str(wanted.subscription)]
    arguments = ["deployment", "sub", "show", *about, "--query", "properties.outputs"]
    found = _outputs(az.run(arguments, f"deployment {name_of(wanted)}"))
    if not found:
        what = f"the deployment {name_of(wanted)} has no outputs"
        raise DeployError("Azure", what, f"`inv infra.apply --env {wanted.environment}` first")
    return found


def destroy(wanted: Wanted, confirmed: str) -> None:
    """Remove the resource group and all that is in it.

    Raises `DeployError` unless `confirmed` is its name, and it is this environment's.
    """
    group = wanted.names.group
    if confirmed != group:
        what = f"{confirmed!r} is not its name"
        hint = "nothing was removed; type the name, or give it with --name"
        raise DeployError(f"resource group {group}", what, hint)
    complete(wanted)
    about = ["--name", group, "--subscription", str(wanted.subscription)]
    found = az.run(["group", "show", *about], f"resource group {group}")
    tags = (found or {}).get("tags") or {}
    if tags.get(naming.ENVIRONMENT) != wanted.environment:
        what = f"it has no tag {naming.ENVIRONMENT}: {wanted.environment}, so it is not ours"
        raise DeployError(f"resource group {group}", what, "remove it by hand if it is meant")
    with console.phase("destroy", group):
        az.run(["group", "delete", *about, "--yes"], f"resource group {group}")


def _deployment(wanted: Wanted, verb: str, path: Path) -> list[str]:
    return [
        *("deployment", "sub", verb),
        *("--name", name_of(wanted)),
        *("--subscription", str(wanted.subscription)),
        *("--location", str(wanted.infra.location)),
        *("--parameters", str(path)),
    ]


def _parameters(project: Project, wanted: Wanted) -> Path:
    path, new = files.write_parameters(project, complete(wanted))
    if new:
        console.note("infra", f"{path.relative_to(project.root)} is written anew: commit it")
    return path


def _outputs(given: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: one["value"] for key, one in (given or {}).items()}
