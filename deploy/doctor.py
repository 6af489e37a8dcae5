"""Look at what the tasks need on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy import config, kinds, locks, machine, targets
from deploy.build import base_image, docker_build
from deploy.config import Project
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.infra import az
from deploy.model import Flow, ImageSettings, Spec
from deploy.runtime import connections

ENOUGH_GIB = 5


@dataclass(frozen=True)
class Finding:
    """One requirement: whether it is met, what was found, and the next command where it is not."""

    requirement: str
    found: bool
    detail: str
    next: str = ""
    needed: bool = True


def examine(project: Project) -> list[Finding]:
    """Return a finding for each requirement; looks only."""
    return [
        _python(),
        *_engine(project),
        _disk(project.root),
        _git(),
        _az(),
        *_extensions(),
        _configuration(project),
        *_flows(project),
    ]


def _python() -> Finding:
    version = sys.version_info
    text = f"{version.major}.{version.minor}.{version.micro}"
    good = (3, 11) <= version[:2] <= (3, 13)
    return Finding(
        "Python 3.11 to 3.13", good, text, "" if good else "make setup PYTHON=python3.13"
    )


def _engine(project: Project) -> list[Finding]:
    try:
        there = engine.endpoint()
        client = engine.connect()
    except DeployError as error:
        problem = error.problems[0]
        what = problem.what if problem.where == "Docker" else f"{problem.where}: {problem.what}"
        return [
            Finding("Docker engine", False, what, problem.hint),
            Finding("base image", False, "unknown without an engine", "inv setup"),
        ]
    name = f"{engine.kind(client).capitalize()} {client.version()['Version']}"
    where = f"{there.address} ({there.source})"
    found = base_image.find(
        client, ImageSettings(base=project.environ.get("FLOW_BASE_IMAGE")), project.root
    )
    ready = found.reference if found else "not there yet: the first build gets it"
    return [
        Finding("Docker engine", True, f"{name} on {engine.native_platform(client)}, {where}"),
        Finding("image store", True, engine.image_store(client), needed=False),
        Finding("builder", True, docker_build.choose(client, there).name, needed=False),
        Finding("base image", found is not None, ready, "" if found else "inv base", needed=False),
    ]


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    return Finding(
        f"{ENOUGH_GIB} GiB of disk",
        free >= ENOUGH_GIB,
        f"{free:.0f} GiB free",
        "" if free >= ENOUGH_GIB else "docker system prune",
    )


def _git() -> Finding:
    path = shutil.which("git")
    return Finding(
        "git",
        path is not None,
        path or "not found: images carry no commit",
        "" if path else machine.install_command("git") or "install git",
    )


def _az() -> Finding:
    path = shutil.which(az.PROGRAM)
    why = "not found: only inv infra.plan, apply, outputs and destroy need it"
    return Finding(
        "Azure CLI", path is not None, path or why, "" if path else az.INSTALL, needed=False
    )


def _extensions() -> list[Finding]:
    """Look at targets and kinds of other distributions; without any there is nothing to tell."""
    try:
        found = [name for name in targets.every() if name not in targets.OWN]
        found += [name for name in kinds.every() if name not in kinds.OWN]
    except DeployError as error:
        first = error.problems[0]
        return [Finding("extensions", False, f"{first.where}: {first.what}", first.hint)]
    return [Finding("extensions", True, ", ".join(found))] if found else []


def _configuration(project: Project) -> Finding:
    try:
        flows = config.load_flows(project)
    except DeployError as error:
        first = error.problems[0]
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        return Finding(
            "configuration", False, f"{first.where}: {first.what}{more}", "edit that file"
        )
    return Finding("configuration", True, f"{len(flows)} flows")


def _flows(project: Project) -> list[Finding]:
    """Look at locks, and at the variables of connections: an identity may stand in for a key."""
    findings = []
    try:
        flows = config.load_flows(project)
    except DeployError:
        return []
    for flow in flows:
        try:
            locks.read(flow)
        except DeployError as error:
            findings.append(
                Finding(
                    f"lock of {flow.name}",
                    False,
                    error.problems[0].what,
                    f"inv lock --flow {flow.name}",
                )
            )
    named = {
        variable
        for flow in flows
        for declaration in flow.connections.values()
        for variable in connections.variables(declaration)
    }
    for spec in _specs(project, flows):
        named |= set(spec.settings.secret_names)
    for variable in sorted(named):
        given = bool(project.environ.get(variable))
        source = "environment" if variable in os.environ else ".env"
        findings.append(
            Finding(
                f"variable {variable}",
                given,
                f"from {source}" if given else "not set",
                "" if given else f"echo '{variable}=…' >> .env",
                needed=False,
            )
        )
    return findings


def _specs(project: Project, flows: list[Flow]) -> list[Spec]:
    """Return the specs that can be had; those of another machine's environments may not."""
    found = []
    for flow in flows:
        for environment in flow.environments:
            with contextlib.suppress(DeployError):
                found.append(config.load_spec(project, flow.name, environment))
    return found
