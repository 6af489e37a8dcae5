"""Tasks for this machine: set it up, check what is missing, get base images."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from deploy.cli import repository
from deploy.cli.repository import load_flows, open_project
from deploy.cli.run_each import run_each
from deploy.cli.task import task


@task
def setup(c: Context) -> None:
    """Set up what is missing on this machine: a Docker engine, the base image, pf's tools."""
    from deploy.build import base_image, package_flow
    from deploy.docker import engine, installation

    installation.ensure_engine()
    client = engine.connect()
    native = engine.native_platform(client)
    for settings in _list_base_settings(client):
        chosen = base_image.ensure(client, settings, repository.ROOT)
        if settings.platform == native and not settings.system_packages:
            package_flow.ensure_tools_volume(client, chosen, settings.python)


@task
def doctor(c: Context, json: bool = False) -> None:
    """Check the requirements on this machine; show the command that fixes a missing one."""
    from deploy.cli import doctor
    from deploy.core import output

    findings = doctor.check_requirements(open_project())
    rows = [vars(finding) for finding in findings]
    columns = ("requirement", "found", "detail", "next")
    output.print_json(rows) if json else output.print_table(rows, columns)
    if any(finding.needed and not finding.found for finding in findings):
        raise Exit(code=1)


@task(help={"refresh": "get new base images, with the latest security updates"})
def base(c: Context, refresh: bool = False) -> None:
    """Pull the official base images of all flows, or build them from Debian packages."""
    from deploy.build import base_image
    from deploy.docker import engine

    client = engine.connect()
    get = base_image.refresh if refresh else base_image.ensure
    outcome = run_each(
        _list_base_settings(client), lambda settings: get(client, settings, repository.ROOT)
    )
    for reference in dict.fromkeys(base.reference for base in outcome.results):
        print(reference)
    outcome.raise_problems()


def _list_base_settings(client: Any) -> list[Any]:
    """Return the settings of each base image that the flows need, and of the default one."""
    from deploy.build import base_image
    from deploy.docker import engine

    flow_settings = [flow.image for flow in load_flows()]
    own_base = open_project().environ.get("FLOW_BASE_IMAGE") or None
    return base_image.list_base_settings(flow_settings, own_base, engine.native_platform(client))
