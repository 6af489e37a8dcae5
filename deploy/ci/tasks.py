"""The tasks `inv ci.…`; bodies are a few lines, and what is heavy is imported inside."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from deploy import cli

ROOT = Path(__file__).parents[2]


@task(
    help={
        "env": "only flows of this environment",
        "from": "the environment whose images --env gets: what it does not have is refused",
        "since": "a revision of git: only flows that changed since; all without it",
        "json": "print JSON",
    }
)
@cli.sentences
def matrix(
    c: Context, env: str | None = None, from_: str = "", since: str = "", json: bool = False
) -> None:
    """List the flows that are to be built or delivered, and tell the CI system: one job each."""
    from deploy import config, console
    from deploy.ci import changes, matrix
    from deploy.job import system

    project = config.open_project(ROOT)
    flows = config.flows_in(project, env, None) if env else config.load_flows(project)
    found = changes.since(project.root, flows, since) if since else changes.Changes(tuple(flows))
    if from_:
        matrix.refuse_without_origin(found.flows, env, from_)
    rows = matrix.rows(found.flows, project.environ)
    found_rows, nothing = [vars(row) for row in rows], "no flow changed"
    console.show(found_rows, for_programs=json, nothing=nothing)
    for note in (*found.notes, *matrix.notes(rows)):
        console.note("flows", note)
    system.output("changed", str(bool(rows)).lower())
    system.output("matrix", matrix.for_github(rows))
    system.output("legs", matrix.for_azure_devops(rows))
    system.summary(matrix.summary(rows, found.notes))


@task(name="try", help={"flow": "one flow; without it, every flow"})
@cli.sentences
def trial(c: Context, flow: str | None = None) -> None:
    """Build each flow, run it here, score its sample, and take it away again."""
    from deploy import config, console
    from deploy.ci import trial
    from deploy.job import system

    project = config.open_project(ROOT)
    done = cli.each(config.load_flows(project, flow), lambda one: trial.run(project, one))
    for one in done.results:
        console.note("tried", one.sentence)
        system.summary(f"{one.sentence}\n")
    done.finish()
