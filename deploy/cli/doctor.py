"""Check what the tasks need on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy import kinds
from deploy.build import base_image, docker_build, lock_files
from deploy.config import configuration, target_registry
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core.entities import Flow, ImageSettings
from deploy.core.errors import DeployError
from deploy.docker import engine, operating_system
from deploy.infra import azure_cli
from deploy.server import connections

MIN_FREE_GIB = 5


@dataclass(frozen=True)
class Finding:
    """One requirement on this machine."""

    requirement: str
    # Whether it is met.
    found: bool
    detail: str
    # The command to run if it is not met.
    next: str = ""
    # False if most work is possible without it.
    needed: bool = True


def check_requirements(project: Project) -> list[Finding]:
    """Return a finding for each requirement; change nothing."""
    return [
        _check_python(),
        *_check_engine(project),
        _check_disk(project.root),
        _check_git(),
        _check_azure_cli(),
        *_check_extensions(),
        _check_configuration(project),
        *_check_flows(project),
    ]


def _check_python() -> Finding:
    version = sys.version_info
    text = f"{version.major}.{version.minor}.{version.micro}"
    supported = (3, 11) <= version[:2] <= (3, 13)
    command = "" if supported else "make setup PYTHON=python3.13"
    return Finding("Python 3.11 to 3.13", supported, text, command)


def _check_engine(project: Project) -> list[Finding]:
    try:
        endpoint = engine.find_endpoint()
        client = engine.connect()
    except DeployError as error:
        problem = error.problems[0]
        message = problem.what if problem.where == "Docker" else f"{problem.where}: {problem.what}"
        return [
            Finding("Docker engine", False, message, problem.hint),
            Finding("base image", False, "unknown without an engine", "inv setup"),
        ]
    name = f"{engine.detect_product(client).capitalize()} {client.version()['Version']}"
    location = f"{endpoint.address} ({endpoint.source})"
    base = base_image.find(
        client, ImageSettings(base=project.environ.get("FLOW_BASE_IMAGE")), project.root
    )
    ready = base.reference if base else "missing: the first build pulls or creates it"
    return [
        Finding("Docker engine", True, f"{name} on {engine.native_platform(client)}, {location}"),
        Finding("image store", True, engine.detect_image_store(client), needed=False),
        Finding("builder", True, docker_build.choose_builder(client, endpoint).name, needed=False),
        Finding("base image", base is not None, ready, "" if base else "inv base", needed=False),
    ]


def _check_disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    enough = free >= MIN_FREE_GIB
    command = "" if enough else "docker system prune"
    return Finding(f"{MIN_FREE_GIB} GiB of disk space", enough, f"{free:.0f} GiB free", command)


def _check_program(
    requirement: str, program: str, consequence: str, install: str, needed: bool = True
) -> Finding:
    path = shutil.which(program)
    detail = path or f"not found: {consequence}"
    return Finding(requirement, path is not None, detail, "" if path else install, needed)


def _check_git() -> Finding:
    install = operating_system.install_command("git") or "install git"
    return _check_program("git", "git", "images will have no commit label", install)


def _check_azure_cli() -> Finding:
    consequence = "only inv infra.plan, apply, outputs and destroy need it"
    return _check_program(
        "Azure CLI", azure_cli.PROGRAM, consequence, azure_cli.INSTALL, needed=False
    )


def _check_extensions() -> list[Finding]:
    """Return a finding about installed extensions; an empty list if there are none."""
    try:
        names = [
            name for name in target_registry.all_targets() if name not in target_registry.BUILT_IN
        ]
        names += [name for name in kinds.all_kinds() if name not in kinds.BUILT_IN]
    except DeployError as error:
        first = error.problems[0]
        return [Finding("extensions", False, f"{first.where}: {first.what}", first.hint)]
    return [Finding("extensions", True, ", ".join(names))] if names else []


def _check_configuration(project: Project) -> Finding:
    try:
        flows = configuration.load_flows(project)
    except DeployError as error:
        first = error.problems[0]
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        return Finding(
            "configuration", False, f"{first.where}: {first.what}{more}", "correct the file"
        )
    return Finding("configuration", True, f"{len(flows)} flows")


def _check_flows(project: Project) -> list[Finding]:
    """Return findings about lock files and variables; an unset variable may not be needed."""
    findings = []
    try:
        flows = configuration.load_flows(project)
    except DeployError:
        return []
    for flow in flows:
        try:
            lock_files.read(flow)
        except DeployError as error:
            command = f"inv lock --flow {flow.name}"
            findings.append(
                Finding(f"lock file of {flow.name}", False, error.problems[0].what, command)
            )
    variables = {
        variable
        for flow in flows
        for declaration in flow.connections.values()
        for variable in connections.list_variables(declaration)
    }
    for spec in _load_specs(project, flows):
        variables |= set(spec.settings.secret_names)
    for variable in sorted(variables):
        is_set = bool(project.environ.get(variable))
        source = "environment" if variable in os.environ else ".env"
        findings.append(
            Finding(
                f"variable {variable}",
                is_set,
                f"from {source}" if is_set else "not set",
                "" if is_set else f"echo '{variable}=…' >> .env",
                needed=False,
            )
        )
    return findings


def _load_specs(project: Project, flows: list[Flow]) -> list[AnySpec]:
    """Return the specs that load; those of environments set up elsewhere may not."""
    specs = []
    for flow in flows:
        for environment in flow.environments:
            with contextlib.suppress(DeployError):
                specs.append(configuration.load_spec(project, flow.name, environment))
    return specs
