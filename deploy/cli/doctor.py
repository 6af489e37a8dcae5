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
from deploy.core.entities import Flow, ImageSettings, Spec
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
    return Finding(
        "Python 3.11 to 3.13", supported, text, "" if supported else "make setup PYTHON=python3.13"
    )


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
    ready = base.reference if base else "not there yet: the first build gets it"
    return [
        Finding("Docker engine", True, f"{name} on {engine.native_platform(client)}, {location}"),
        Finding("image store", True, engine.detect_image_store(client), needed=False),
        Finding("builder", True, docker_build.choose_builder(client, endpoint).name, needed=False),
        Finding("base image", base is not None, ready, "" if base else "inv base", needed=False),
    ]


def _check_disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    return Finding(
        f"{MIN_FREE_GIB} GiB of disk",
        free >= MIN_FREE_GIB,
        f"{free:.0f} GiB free",
        "" if free >= MIN_FREE_GIB else "docker system prune",
    )


def _check_git() -> Finding:
    path = shutil.which("git")
    return Finding(
        "git",
        path is not None,
        path or "not found: images carry no commit",
        "" if path else operating_system.install_command("git") or "install git",
    )


def _check_azure_cli() -> Finding:
    path = shutil.which(azure_cli.PROGRAM)
    consequence = "not found: only inv infra.plan, apply, outputs and destroy need it"
    return Finding(
        "Azure CLI",
        path is not None,
        path or consequence,
        "" if path else azure_cli.INSTALL,
        needed=False,
    )


def _check_extensions() -> list[Finding]:
    """Return a finding about targets and kinds of other distributions, none without any."""
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
            "configuration", False, f"{first.where}: {first.what}{more}", "edit that file"
        )
    return Finding("configuration", True, f"{len(flows)} flows")


def _check_flows(project: Project) -> list[Finding]:
    """Return findings about lock files and connection variables; an identity may replace a key."""
    findings = []
    try:
        flows = configuration.load_flows(project)
    except DeployError:
        return []
    for flow in flows:
        try:
            lock_files.read(flow)
        except DeployError as error:
            findings.append(
                Finding(
                    f"lock of {flow.name}",
                    False,
                    error.problems[0].what,
                    f"inv lock --flow {flow.name}",
                )
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


def _load_specs(project: Project, flows: list[Flow]) -> list[Spec]:
    """Return the specs that load; those of environments set up elsewhere may not."""
    specs = []
    for flow in flows:
        for environment in flow.environments:
            with contextlib.suppress(DeployError):
                specs.append(configuration.load_spec(project, flow.name, environment))
    return specs
