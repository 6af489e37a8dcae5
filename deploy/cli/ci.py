"""Tasks for continuous delivery: `inv ci.…`."""

from __future__ import annotations

from invoke.context import Context

from deploy.cli.flows import OPTIONAL_FLOW
from deploy.cli.repository import load_flows, open_project
from deploy.cli.run_each import run_each
from deploy.cli.task import task


@task(
    help={
        "env": "only flows of this environment",
        "from": "the environment that images are promoted from to --env; it must have every flow",
        "since": "a git revision: only flows that changed since then (default: every flow)",
    }
)
def matrix(
    c: Context, env: str | None = None, from_: str = "", since: str = "", json: bool = False
) -> None:
    """List the flows to build or deliver; pass them to the CI system as a matrix of jobs."""
    from deploy.ci import changes, matrix
    from deploy.config import configuration
    from deploy.core import ci_system, output, progress

    project = open_project()
    flows = configuration.select_flows(project, env, None) if env else load_flows()
    changed = (
        changes.find_changes(project.root, flows, since) if since else changes.Changes(tuple(flows))
    )
    if from_:
        matrix.require_origin(changed.flows, env, from_)
    rows = matrix.create_rows(changed.flows, project.environ)
    row_data, empty = [vars(row) for row in rows], "no flow changed"
    output.show(row_data, as_json=json, empty=empty)
    for note in (*changed.notes, *matrix.list_notes(rows)):
        progress.note("flows", note)
    ci_system.set_output("changed", str(bool(rows)).lower())
    ci_system.set_output("tool", str(changed.tool).lower())
    ci_system.set_output("matrix", matrix.format_github(rows))
    ci_system.set_output("legs", matrix.format_azure_devops(rows))
    ci_system.append_summary(matrix.format_summary(rows, changed.notes))


@task(name="try", help={"flow": OPTIONAL_FLOW})
def trial(c: Context, flow: str | None = None) -> None:
    """Build each flow, run it on this machine, score its sample, and remove it."""
    from deploy.core import ci_system, progress
    from deploy.delivery import trial

    project = open_project()
    outcome = run_each(load_flows(flow), lambda each: trial.run_trial(project, each))
    for result in outcome.results:
        progress.note("tried", result.summary)
        ci_system.append_summary(f"{result.summary}\n")
    outcome.raise_problems()
