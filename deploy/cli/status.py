"""Tasks that inspect deployments: status, smoke test, logs."""

from __future__ import annotations

from dataclasses import asdict

from invoke.context import Context

from deploy.cli import options
from deploy.cli.repository import load_specs
from deploy.cli.run_each import run_each
from deploy.cli.task import task


@task
def status(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Show each deployment: state, URL, image tag, commit, start time, and traffic split."""
    from deploy.cli import tables
    from deploy.delivery import pipeline

    pairs = [(spec, pipeline.status(spec)) for spec in load_specs(flow, env)]
    data = [
        asdict(deployment) if deployment else tables.create_empty_status_row(spec)
        for spec, deployment in pairs
    ]
    rows = [
        row
        for spec, deployment in pairs
        for row in (
            tables.create_status_rows(deployment)
            if deployment
            else [tables.create_empty_status_row(spec)]
        )
    ]
    tables.show_status(rows, f"Status of {env}", json, data)


@task
def smoke(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Score each flow's sample with its deployment, and check the answer."""
    from deploy.cli import tables
    from deploy.core import ci_system, output
    from deploy.delivery import pipeline
    from deploy.targets import verification

    outcome = run_each(load_specs(flow, env), lambda spec: (spec, pipeline.run_smoke_test(spec)))
    rows = tables.create_smoke_rows(outcome.results, outcome.failed)
    output.add_table(rows, (), f"Smoke test in {env}")
    if json:
        output.print_json(
            [{"flow": spec.flow.name, **vars(result)} for spec, result in outcome.results]
        )
    else:
        for spec, result in outcome.results:
            with ci_system.group(f"{spec.flow.name}: answer"):
                output.print_json(result.answer)
            print(f"\n{result.url} answered in {result.seconds:.2f} s")
            print(f"Try it:  {verification.curl_command(result.url, spec, result.auth)}")
    outcome.raise_problems()


@task(
    help={
        "tail": "the number of lines to print",
        "follow": "print new lines of one flow until Ctrl-C",
    }
)
def logs(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    tail: str = "100",
    follow: bool = False,
) -> None:
    """Print the last log lines of each deployment."""
    from deploy.core import ci_system
    from deploy.delivery import pipeline

    specs, lines = load_specs(flow, env), options.parse_positive("--tail", tail)
    if follow:
        for line in pipeline.logs(options.exactly_one(specs, "--follow"), lines, True):
            print(ci_system.escape_commands(line), flush=True)
        return
    # Without --flow, skip flows that are not deployed; with --flow, that is an error.
    for spec in specs if flow else [spec for spec in specs if pipeline.status(spec)]:
        with ci_system.group(f"{spec.flow.name}: log"):
            for line in pipeline.logs(spec, lines):
                print(ci_system.escape_commands(line if flow else f"{spec.flow.name}: {line}"))
