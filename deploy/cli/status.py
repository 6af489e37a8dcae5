"""Tasks that inspect deployments: status, smoke test, logs."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from deploy.cli import options
from deploy.cli.repository import load_specs
from deploy.cli.run_each import run_each
from deploy.cli.task import task


@task(help={"flow": options.FLOW, "env": options.ENV, "json": options.JSON})
def status(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Show what runs: state, URL, image tag, commit, start time, and the traffic split."""
    from deploy.delivery import pipeline

    pairs = [(spec, pipeline.status(spec)) for spec in load_specs(flow, env)]
    data = [
        pipeline.to_dict(deployment) or pipeline.create_empty_status_row(spec)
        for spec, deployment in pairs
    ]
    rows = [
        row
        for spec, deployment in pairs
        for row in (
            pipeline.create_status_rows(deployment)
            if deployment
            else [pipeline.create_empty_status_row(spec)]
        )
    ]
    show_status(rows, f"Status of {env}", json, data)


def show_status(rows: list[dict[str, Any]], title: str, json: bool, data: Any) -> None:
    """Print the status of deployments: `rows` as a table, or `data` as JSON."""
    from deploy.core import output

    # The columns of the table; values longer than a width are cut.
    widths: dict[str, int | None] = dict.fromkeys(
        ("flow", "environment", "target", "state", "share")
    )
    widths |= {"tag": None, "commit": 7, "since": len("2026-01-01T00:00:00"), "by": 20, "url": None}
    rows = [{**row, "since": row.get("created", "")} for row in rows]
    table = [{key: str(row.get(key, ""))[:width] for key, width in widths.items()} for row in rows]
    output.show(table, title=title, as_json=json, data=data)


@task(help={"flow": options.FLOW, "env": options.ENV, "json": options.JSON})
def smoke(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Score each flow's sample against what is deployed, and judge the answer."""
    from deploy.core import ci_system, output
    from deploy.delivery import pipeline
    from deploy.targets import verification

    outcome = run_each(load_specs(flow, env), lambda spec: (spec, pipeline.run_smoke_test(spec)))
    rows = pipeline.create_smoke_rows(outcome.results, outcome.failed)
    output.add_table(rows, (), f"Smoke test in {env}")
    if json:
        output.print_json(
            [{"flow": spec.flow.name, **pipeline.to_dict(proof)} for spec, proof in outcome.results]
        )
    else:
        for spec, proof in outcome.results:
            with ci_system.group(f"{spec.flow.name}: the answer"):
                output.print_json(proof.answer)
            print(f"\nIt runs at {proof.url} and took {proof.seconds:.2f} s")
            print(f"Try it:  {verification.curl_command(proof.url, spec, proof.auth)}")
    outcome.raise_problems()


@task(
    help={
        "flow": options.FLOW,
        "env": options.ENV,
        "tail": "the number of lines",
        "follow": "for one flow: print new lines until Ctrl-C",
    }
)
def logs(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    tail: str = "100",
    follow: bool = False,
) -> None:
    """Print the last lines of what is deployed."""
    from deploy.core import ci_system
    from deploy.delivery import pipeline

    specs, lines = load_specs(flow, env), options.parse_positive("--tail", tail)
    if follow:
        for line in pipeline.logs(options.exactly_one(specs, "--follow"), lines, True):
            print(ci_system.escape_commands(line), flush=True)
        return
    # Without --flow, skip flows that are not deployed; with --flow, that is an error.
    for spec in specs if flow else [spec for spec in specs if pipeline.status(spec)]:
        with ci_system.group(f"{spec.flow.name}: the log"):
            for line in pipeline.logs(spec, lines):
                print(ci_system.escape_commands(line if flow else f"{spec.flow.name}: {line}"))
