"""Tasks for the flows of this repository: list, lock, build, inspect, evaluate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from invoke.context import Context

from deploy.cli import options, repository
from deploy.cli.repository import load_flows, load_specs, open_project
from deploy.cli.run_each import run_each
from deploy.cli.task import task

OPTIONAL_FLOW = "one flow (default: every flow)"


@task
def flows(c: Context, json: bool = False) -> None:
    """List the flows: kind, environments and targets, connections, image tag, whether built."""
    from deploy.cli import tables
    from deploy.core import output

    rows = tables.create_flow_rows(open_project())
    output.print_json(rows) if json else output.print_table(rows)


@task
def config(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Show the complete configuration, secrets redacted, and the origin of each value."""
    from deploy.config import origins
    from deploy.core import output

    specs = {spec.flow.name: origins.describe_spec(spec) for spec in load_specs(flow, env)}
    if json:
        output.print_json(specs)
        return
    for name, values in specs.items():
        print(f"{name} in {env}")
        output.print_table(
            [{"key": key, "value": v["value"], "from": v["from"]} for key, v in values.items()]
        )


@task(help={"flow": OPTIONAL_FLOW})
def lock(c: Context, flow: str | None = None) -> None:
    """Write requirements.lock (with hashes) from requirements.txt."""
    from deploy.build import lock_files
    from deploy.core import progress

    for each in load_flows(flow):
        with progress.log_prefix(each.name), progress.phase("lock", lock_files.REQUIREMENTS):
            lock_files.write_lock(each)


@task(
    help={
        "flow": OPTIONAL_FLOW,
        "env": "only flows of this environment",
        "context": "the folder for the Dockerfile and its files (default: .build/‹flow›)",
        "dry-run": "write that folder and list its files; build nothing",
    }
)
def build(
    c: Context,
    flow: str | None = None,
    env: str | None = None,
    context: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Build the image of each flow with docker build; skip flows that have not changed."""
    from deploy.build import build_context as contexts
    from deploy.core import output
    from deploy.delivery import resolve_image

    project = open_project()
    chosen = [spec.flow for spec in load_specs(flow, env)] if env else load_flows(flow)
    if context:
        options.exactly_one(chosen, "--context")
    folder = Path(context).absolute() if context else None
    if dry_run:
        for each in chosen:
            print(contexts.describe(resolve_image.write_context(project, each, folder)))
        return
    images = [resolve_image.build_image(project, each, context=folder) for each in chosen]
    if json:
        output.print_json([vars(image) for image in images])
    else:
        output.print_table([{"image": image.reference, "id": image.id} for image in images])


@task(
    help={
        "flow": OPTIONAL_FLOW,
        "env": "an environment with a registry: also show the published image and its documents",
    }
)
def inspect(
    c: Context, flow: str | None = None, env: str | None = None, json: bool = False
) -> None:
    """Show the content of each flow's image: layers, largest packages, labels."""
    from deploy.core import output
    from deploy.supply_chain import inspection, inspection_report

    project = open_project()
    chosen: list[Any] = (
        [(spec.flow, spec) for spec in load_specs(flow, env)]
        if env
        else [(each, None) for each in load_flows(flow)]
    )
    outcome = run_each(chosen, lambda pair: inspection.inspect_flow(project, *pair))
    if json:
        output.print_json([asdict(result) for result in outcome.results])
    else:
        inspection_report.print_inspections(outcome.results)
    outcome.raise_problems()


@task(
    help={
        "flow": "one flow (default: every flow that has an evaluation)",
        "env": "only flows of this environment, with its variables",
        "json": "print JSON with every row",
    }
)
def evaluate(
    c: Context, flow: str | None = None, env: str | None = None, json: bool = False
) -> None:
    """Run each flow on its data set and score the answers; fail if a threshold is missed."""
    from deploy.evaluation import evaluate, history, report

    project = open_project()
    # Azure Pipelines' Cache@2 fails if this folder is missing (azure-pipelines-tasks, issue 16276).
    (repository.ROOT / history.FOLDER).mkdir(parents=True, exist_ok=True)
    chosen = evaluate.select_flows(project, flow, env)
    outcome = run_each(chosen, lambda each: evaluate.evaluate(project, each, env))
    if chosen or json:
        report.show(outcome.results, json)
    else:
        print("no flow has an evaluation; docs/evaluation.md describes how to add one")
    outcome.problems += [problem for result in outcome.results for problem in result.problems]
    outcome.raise_problems()
