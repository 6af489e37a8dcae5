"""The tasks `inv infra.…`; bodies are a few lines, and what is heavy is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import cli

ROOT = Path(__file__).parents[2]
ENV = "an environment of environments.yaml"
# The status where something would change, or differs.
CHANGES = 2


def _open(env: str) -> tuple[Any, Any]:
    from deploy import config
    from deploy.infra import wanted

    project = config.open_project(ROOT)
    return project, wanted.load(project, env)


@task(help={"env": ENV, "json": "print JSON"})
@cli.sentences
def plan(c: Context, env: str, json: bool = False) -> None:
    """Show what applying the Bicep files would change; the status is 2 for something."""
    from deploy import console
    from deploy.infra import deployment, whatif

    rows = deployment.plan(*_open(env))
    console.show(rows, title=f"Infrastructure plan for {env}", for_programs=json)
    if whatif.changes(rows):
        raise Exit(code=CHANGES)


@task(help={"env": ENV, "json": "print JSON"})
@cli.sentences
def apply(c: Context, env: str, json: bool = False) -> None:
    """Make the infrastructure of an environment, or bring it up to date."""
    from deploy import console
    from deploy.infra import deployment

    found = deployment.apply(*_open(env))
    if json:
        console.as_json(found)
        return
    console.table([{"key": key, "value": value} for key, value in found.items()])
    print(f"\nWrite them into environments.yaml:  inv infra.outputs --env {env}")


@task(help={"env": ENV, "json": "print JSON"})
@cli.sentences
def outputs(c: Context, env: str, json: bool = False) -> None:
    """Write what was made into environments.yaml, so that `inv deploy` finds it."""
    from deploy import console
    from deploy.infra import deployment, files

    project, wanted = _open(env)
    changed = files.write_outputs(project, env, deployment.outputs(wanted))
    if json:
        console.as_json(changed)
    elif changed:
        console.table(changed)
    else:
        print("environments.yaml has them already")


@task(help={"env": ENV, "name": "the resource group's name, where nobody can be asked"})
@cli.sentences
def destroy(c: Context, env: str, name: str = "") -> None:
    """Remove the resource group of an environment and all that is in it; asks for its name."""
    from deploy.infra import deployment

    _, wanted = _open(env)
    group = wanted.names.group
    deployment.destroy(wanted, name or cli.asked(f"Type {group} to remove all that is in it: "))
    print(f"{group} is gone. Vaults can be had back for 90 days, and keep their names till then.")


@task(
    help={
        "env": ENV,
        "format": "md, html or docx; md, or that of --to",
        "to": "a file; in .artifacts without it",
    }
)
@cli.sentences
def request(c: Context, env: str, format: str = "", to: str = "") -> None:
    """Write the Infrastructure Request: what a platform team must make, and why."""
    from deploy.infra import request

    project, wanted = _open(env)
    format = format or Path(to).suffix[1:] or "md"
    path = Path(to) if to else project.root / ".artifacts" / f"request-{env}.{format}"
    request.write(wanted, format, path)
    print(path)


@task(help={"env": ENV, "json": "print JSON"})
@cli.sentences
def check(c: Context, env: str, json: bool = False) -> None:
    """Compare what is there with the request: what is missing, different, or too much."""
    from deploy import console
    from deploy.infra import comparison

    _, wanted = _open(env)
    found = [vars(one) for one in comparison.compare(wanted)]
    title, nothing = f"Infrastructure of {env}", "all is there, and as requested"
    console.show(found, title=title, for_programs=json, nothing=nothing)
    if found:
        raise Exit(code=CHANGES)


@task
@cli.sentences
def lint(c: Context) -> None:
    """Let Bicep's own compiler and linter read the files in infra/; asks nothing of Azure."""
    from deploy import console
    from deploy.infra import bicep

    for warning in bicep.lint(ROOT):
        console.note("warning", warning)
