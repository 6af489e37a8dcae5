"""Tasks for infrastructure: `inv infra.…`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from deploy.cli import options, repository
from deploy.cli.errors import EXIT_CODE_DIFFERENT
from deploy.cli.repository import open_project
from deploy.cli.task import task

ENV = "an environment of environments.yaml"


def _load_desired(env: str) -> tuple[Any, Any]:
    from deploy.infra import desired

    project = open_project()
    return project, desired.load(project, env)


@task(help={"env": ENV})
def plan(c: Context, env: str, json: bool = False) -> None:
    """Show what applying the Bicep files would change. Exit code 2: changes."""
    from deploy.core import output
    from deploy.infra import deployment, what_if

    rows = deployment.plan(*_load_desired(env))
    output.show(rows, title=f"Infrastructure plan for {env}", as_json=json)
    if what_if.has_changes(rows):
        raise Exit(code=EXIT_CODE_DIFFERENT)


@task(help={"env": ENV})
def apply(c: Context, env: str, json: bool = False) -> None:
    """Create or update the infrastructure of an environment."""
    from deploy.core import output
    from deploy.infra import deployment

    values = deployment.apply(*_load_desired(env))
    if json:
        output.print_json(values)
        return
    output.print_table([{"key": key, "value": value} for key, value in values.items()])
    print(f"\nWrite them to environments.yaml:  inv infra.outputs --env {env}")


@task(help={"env": ENV})
def outputs(c: Context, env: str, json: bool = False) -> None:
    """Write the deployment's outputs to environments.yaml, where `inv deploy` reads them."""
    from deploy.core import output
    from deploy.infra import deployment, files

    project, desired = _load_desired(env)
    changed = files.write_outputs(project, env, deployment.read_outputs(desired))
    if json:
        output.print_json(changed)
    elif changed:
        output.print_table(changed)
    else:
        print("environments.yaml is up to date")


@task(
    help={"env": ENV, "name": "the resource group's name, as confirmation if there is no terminal"}
)
def destroy(c: Context, env: str, name: str = "") -> None:
    """Remove the resource group of an environment and everything in it, after confirmation."""
    from deploy.infra import deployment

    _, desired = _load_desired(env)
    group = desired.names.group
    confirmed = name or options.prompt(f"Type {group} to remove everything in it: ")
    deployment.destroy(desired, confirmed)
    print(f"{group} is removed. For 90 days its key vaults can be recovered and keep their names.")


@task(
    help={
        "env": ENV,
        "format": "md, html or docx (default: the extension of --to, or md)",
        "to": "the file to write (default: a file in .artifacts)",
    }
)
def request(c: Context, env: str, format: str = "", to: str = "") -> None:
    """Write the Infrastructure Request: what a platform team must create, and why."""
    from deploy.infra import request

    project, desired = _load_desired(env)
    format = format or Path(to).suffix[1:] or "md"
    path = Path(to) if to else project.root / ".artifacts" / f"request-{env}.{format}"
    request.write(desired, format, path)
    print(path)


@task(help={"env": ENV})
def check(c: Context, env: str, json: bool = False) -> None:
    """Compare what exists with the request: missing, different, or not requested."""
    from deploy.core import output
    from deploy.infra import comparison

    _, desired = _load_desired(env)
    differences = [vars(difference) for difference in comparison.compare(desired)]
    title, empty = f"Infrastructure of {env}", "everything exists as requested"
    output.show(differences, title=title, as_json=json, empty=empty)
    if differences:
        raise Exit(code=EXIT_CODE_DIFFERENT)


@task
def lint(c: Context) -> None:
    """Compile and lint the files in infra/ with Bicep's own compiler; needs no sign-in."""
    from deploy.core import progress
    from deploy.infra import bicep

    for warning in bicep.lint(repository.ROOT):
        progress.note("warning", warning)
