"""Every task. Bodies are a few lines; what is heavy to import is imported inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from invoke.context import Context
from invoke.tasks import task

from deploy import cli

ROOT = Path(__file__).parent
Result = TypeVar("Result")


def _project() -> Any:
    from deploy import config

    return config.open_project(ROOT)


def _specs(flow: str | None, env: str) -> Any:
    from deploy import config

    return config.load_specs(_project(), env, flow)


def _each(flow: str | None, env: str, action: Callable[[Any], Result]) -> list[Result]:
    """Do `action` for every spec, whichever fail; then tell all failures."""
    from deploy.errors import DeployError

    results: list[Result] = []
    problems: list[Any] = []
    for spec in _specs(flow, env):
        try:
            results.append(action(spec))
        except DeployError as error:
            problems += error.problems
    if problems:
        raise DeployError.of(problems)
    return results


@task
@cli.sentences
def setup(c: Context) -> None:
    """Bring up what is missing on this machine: a Docker engine and the base image."""
    from deploy import base, engine, setup
    from deploy.model import ImageSettings

    setup.ensure_engine()
    settings = ImageSettings(base=_project().environ.get("FLOW_BASE_IMAGE") or None)
    base.ensure(engine.connect(), settings, ROOT)


@task(help={"json": "print JSON"})
@cli.sentences
def doctor(c: Context, json: bool = False) -> None:
    """Check each requirement on this machine, and name the next command for what is missing."""
    from deploy import console, doctor

    findings = [vars(finding) for finding in doctor.examine(_project())]
    console.as_json(findings) if json else console.table(findings)


@task(help={"json": "print JSON"})
@cli.sentences
def flows(c: Context, json: bool = False) -> None:
    """List the flows: kind, environments and targets, connections, image tag, built or not."""
    from deploy import console, pipeline

    rows = pipeline.overview(_project())
    console.as_json(rows) if json else console.table(rows)


@task(help={"flow": "one flow", "env": "the environment", "json": "print JSON"})
@cli.sentences
def config(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Show the complete configuration, secrets redacted, and where each value came from."""
    from deploy import console, explain

    specs = {spec.flow.name: explain.describe(spec) for spec in _specs(flow, env)}
    if json:
        console.as_json(specs)
        return
    for name, values in specs.items():
        print(f"{name} in {env}")
        console.table(
            [{"key": key, "value": v["value"], "from": v["from"]} for key, v in values.items()]
        )


@task(help={"flow": "one flow; all without it"})
@cli.sentences
def lock(c: Context, flow: str | None = None) -> None:
    """Write requirements.lock (with hashes) from requirements.txt."""
    from deploy import config, pipeline

    pipeline.lock(config.load_flows(_project(), flow))


@task(help={"refresh": "get it anew, with the security updates since"})
@cli.sentences
def base(c: Context, refresh: bool = False) -> None:
    """Get the base image: pull the official one, or make one from Debian packages."""
    from deploy import base, engine
    from deploy.model import ImageSettings

    settings = ImageSettings(base=_project().environ.get("FLOW_BASE_IMAGE") or None)
    get = base.refresh if refresh else base.ensure
    print(get(engine.connect(), settings, ROOT).reference)


@task(help={"flow": "one flow", "env": "only flows of this environment", "json": "print JSON"})
@cli.sentences
def build(c: Context, flow: str | None = None, env: str | None = None, json: bool = False) -> None:
    """Build the image of each flow; what is unchanged is not built again."""
    from deploy import config, console, pipeline

    project = _project()
    chosen = [s.flow for s in _specs(flow, env)] if env else config.load_flows(project, flow)
    images = [pipeline.as_data(pipeline.build(project, one)) for one in chosen]
    if json:
        console.as_json(images)
    else:
        console.table([{"image": f"{i['repository']}:{i['tag']}", "id": i["id"]} for i in images])


@task(
    help={
        "flow": "one flow",
        "env": "the environment",
        "plan": "only show what would change",
        "json": "print JSON",
    }
)
@cli.sentences
def deploy(
    c: Context, flow: str | None = None, env: str = "local", plan: bool = False, json: bool = False
) -> None:
    """Build, then deploy the image where the configuration says, and prove it with the sample."""
    from deploy import console, pipeline

    project = _project()
    if plan:
        plans = _each(flow, env, lambda spec: pipeline.plan(project, spec))
        steps = [
            {"flow": p.spec.flow.name, **pipeline.as_data(step)} for p in plans for step in p.steps
        ]
        console.as_json(steps) if json else console.table(steps)
        return
    rows = [
        pipeline.as_data(d) for d in _each(flow, env, lambda spec: pipeline.deploy(project, spec))
    ]
    if json:
        console.as_json(rows)
    else:
        console.table(
            [
                {k: row[k] for k in ("flow", "environment", "target", "state", "tag", "url")}
                for row in rows
            ]
        )


@task(help={"flow": "one flow", "env": "the environment", "json": "print JSON"})
@cli.sentences
def smoke(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Score each flow's sample against what is deployed, and judge the answer."""
    from deploy import console, pipeline, verify

    for spec in _specs(flow, env):
        url, answer = pipeline.prove(spec)
        if json:
            console.as_json({"flow": spec.flow.name, "url": url, "answer": answer})
            continue
        console.as_json(answer)
        print(f"\nIt runs at {url}\nTry it:  {verify.curl(url, spec)}")


@task(help={"flow": "one flow", "env": "the environment", "tail": "how many lines"})
@cli.sentences
def logs(c: Context, flow: str | None = None, env: str = "local", tail: int = 100) -> None:
    """Print the last lines of what is deployed."""
    from deploy import pipeline

    specs = _specs(flow, env)
    # Of all flows those that run; the one that is asked for must.
    for spec in specs if flow else [spec for spec in specs if pipeline.status(spec)]:
        for line in pipeline.logs(spec, tail):
            print(line if flow else f"{spec.flow.name}: {line}")


@task(help={"flow": "one flow", "env": "the environment", "json": "print JSON"})
@cli.sentences
def status(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Show what runs: state, URL, image tag, commit, since when."""
    from deploy import console, pipeline

    found = [(spec, pipeline.status(spec)) for spec in _specs(flow, env)]
    rows = [pipeline.as_data(d) or {"flow": s.flow.name, "state": "not deployed"} for s, d in found]
    if json:
        console.as_json(rows)
    else:
        keys = ("flow", "environment", "target", "state", "tag", "commit", "created", "url")
        console.table([{key: row.get(key) for key in keys} for row in rows])


@task(help={"flow": "one flow", "env": "the environment", "json": "print JSON"})
@cli.sentences
def destroy(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Remove what was deployed, and nothing else."""
    from deploy import console, pipeline

    steps = [
        pipeline.as_data(step) for spec in _specs(flow, env) for step in pipeline.destroy(spec)
    ]
    if json:
        console.as_json(steps)
    elif steps:
        console.table([{"action": s["action"], "what": s["what"]} for s in steps])
    else:
        print("nothing was deployed")


@task
@cli.sentences
def schema(c: Context) -> None:
    """Write the JSON Schemas of the configuration files, for editors."""
    from deploy import published

    for path in published.write(ROOT):
        print(path)


@task
def check(c: Context) -> None:
    """Lint and types: ruff and mypy --strict."""
    cli.run(c, "ruff check", "ruff format --check", "mypy")


@task(help={"unit": "only the unit tests: no Docker, seconds", "k": "only tests that match"})
def test(c: Context, unit: bool = False, k: str = "") -> None:
    """Lint, types and tests; the integration tests build and run real images."""
    check(c)
    marks = "not integration and not benchmark" if unit else "not benchmark"
    cli.run(c, f"pytest -m '{marks}'" + (f" -k '{k}'" if k else ""))


@task(
    help={"flow": "one flow; faq and triage without it", "repeat": "how often to start each image"}
)
def bench(c: Context, flow: str = "", repeat: int = 5) -> None:
    """Measure our images beside pf's own images of the same flows."""
    chosen = f" --flow {flow}" if flow else ""
    cli.run(c, f"python -m tests.benchmarks.compare --repeat {repeat}{chosen}")
