"""Tasks that publish images and change what is deployed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from deploy.cli import options
from deploy.cli.errors import EXIT_CODE_DIFFERENT
from deploy.cli.repository import load_specs, open_project, read_image_option
from deploy.cli.run_each import MAX_PARALLEL, run_each
from deploy.cli.task import task


@task(
    help={
        "env": f"{options.ENV}; it must have a registry",
    }
)
def push(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    trust_registry: bool = False,
    json: bool = False,
) -> None:
    """Publish each flow's image to the environment's registry, unless the registry has it."""
    from deploy.delivery import resolve_image

    project = open_project()
    outcome = run_each(
        load_specs(flow, env),
        lambda spec: resolve_image.publish_image(project, spec, trust_registry),
    )
    _show_published(outcome.results, f"Published to {env}", json)
    outcome.raise_problems()


@task(
    help={
        "from": "the environment to copy the image from",
        "to": "the environment to copy the image to",
        "image": "a file of `inv push`, or a folder of them (default: the image running in --from)",
    }
)
def promote(
    c: Context,
    from_: str | None = None,
    to: str | None = None,
    flow: str | None = None,
    image: str | None = None,
    trust_registry: bool = False,
    json: bool = False,
) -> None:
    """Copy an image by its digest to another environment's registry; build nothing."""
    from deploy.delivery import pipeline

    project = open_project()
    flow, image_file = read_image_option(flow, image)
    target = options.require("--to", to)
    sources = load_specs(flow, options.require("--from", from_))
    # Without --flow: the flows that both environments have.
    chosen = [spec for spec in sources if flow or target in spec.flow.environments]
    pairs = [(spec, load_specs(spec.flow.name, target)[0]) for spec in chosen]
    outcome = run_each(
        pairs, lambda pair: pipeline.promote(*pair, project, image_file, trust_registry)
    )
    _show_published(outcome.results, f"Promoted from {from_} to {to}", json)
    outcome.raise_problems()


def _show_published(images: Any, title: str, json: bool) -> None:
    from deploy.core import output

    rows = [{"image": image.reference, "digest": image.digest} for image in images]
    output.show(rows, title=title, as_json=json, data=[vars(image) for image in images])


@task
def plan(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    image: str | None = None,
    json: bool = False,
) -> None:
    """Show what a deploy would change, and why. Exit code 0: no change; 2: changes."""
    from deploy.core import output
    from deploy.delivery import pipeline

    project = open_project()
    flow, image_file = read_image_option(flow, image)
    outcome = run_each(
        load_specs(flow, env), lambda spec: pipeline.plan(project, spec, image_file), MAX_PARALLEL
    )
    steps = [
        {"flow": plan.spec.flow.name, **vars(step)}
        for plan in outcome.results
        for step in plan.steps
    ]
    columns = ("flow", "action", "what", "before", "after", "why")
    output.show(steps, columns, title=f"Plan for {env}", as_json=json)
    outcome.raise_problems()
    if any(plan.has_changes for plan in outcome.results):
        raise Exit(code=EXIT_CODE_DIFFERENT)


@task(
    help={
        "no-wait": "do not wait until long operations end; `inv status` shows their progress",
    }
)
def deploy(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    image: str | None = None,
    trust_registry: bool = False,
    no_wait: bool = False,
    json: bool = False,
) -> None:
    """Build, publish and deploy each flow, and score its sample."""
    from deploy.cli import tables
    from deploy.core import output
    from deploy.delivery import pipeline

    project = open_project()
    flow, image_file = read_image_option(flow, image)
    outcome = run_each(
        load_specs(flow, env),
        lambda spec: pipeline.deploy(project, spec, image_file, not no_wait, trust_registry),
        MAX_PARALLEL,
    )
    rows = [asdict(deployment) for deployment in outcome.results]
    rows += [tables.create_empty_status_row(spec, "failed") for spec in outcome.failed]
    columns = ("flow", "environment", "target", "state", "tag", "url")
    table = [{key: row.get(key) for key in columns} for row in rows]
    output.show(table, title=f"Deployed to {env}", as_json=json, data=rows)
    outcome.raise_problems()


@task
def rollback(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Return to the previous version, if the target keeps one."""
    from deploy.cli import tables
    from deploy.delivery import pipeline

    project, specs = open_project(), load_specs(flow, env)
    options.confirm_all("rolls back", env, specs, flow, yes)
    outcome = run_each(specs, lambda spec: pipeline.rollback(project, spec), MAX_PARALLEL)
    rows = [row for deployment in outcome.results for row in tables.create_status_rows(deployment)]
    tables.show_status(rows, f"Rolled back in {env}", json, rows)
    outcome.raise_problems()


@task
def drift(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Compare deployments with the configuration; change nothing. Exit code 2: differences."""
    from deploy.core import ci_system, output
    from deploy.delivery import drift

    project = open_project()
    checks = drift.list_checks(project, env, load_specs(flow, env), whole_environment=flow is None)
    outcome = run_each(checks, lambda check: check(), MAX_PARALLEL)
    findings = [finding for findings in outcome.results for finding in findings]
    rows = [vars(finding) for finding in findings]
    empty = "" if outcome.failed else "all deployments match the configuration"
    output.show(rows, title=f"Drift in {env}", as_json=json, empty=empty)
    differences = [finding for finding in findings if finding.drift]
    for finding in differences:
        ci_system.annotate("warning", drift.create_problem(finding, env))
    outcome.raise_problems()
    if differences:
        raise Exit(code=EXIT_CODE_DIFFERENT)


@task
def destroy(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Remove the deployment of each flow, and nothing else."""
    from deploy.core import output
    from deploy.delivery import pipeline

    specs = load_specs(flow, env)
    options.confirm_all("removes", env, specs, flow, yes)
    steps = [
        {"flow": spec.flow.name, **vars(step)} for spec in specs for step in pipeline.destroy(spec)
    ]
    if json:
        output.print_json(steps)
    elif steps:
        output.print_table(steps, ("flow", "action", "what"))
    else:
        print("nothing to remove: no flow is deployed")
