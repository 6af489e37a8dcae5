"""Every task. Bodies are a few lines; what is heavy to import is imported inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import cli
from deploy.infra import tasks as infra_tasks

ROOT = Path(__file__).parent
FLOW = "one flow; without it, every flow of the environment"
ENV = "an environment of environments.yaml (default: local)"
# How many flows are planned, deployed and rolled back side by side.
AT_ONCE = 4
# Of tests, side by side.
WORKERS = 4
# The status of `inv plan` where something would change.
CHANGES = 2


def _project() -> Any:
    from deploy import config

    return config.open_project(ROOT)


def _specs(flow: str | None, env: str) -> Any:
    from deploy import config

    return config.load_specs(_project(), env, flow)


def _handed(flow: str | None, image: str | None) -> tuple[str | None, Path | None]:
    """Return which flow, and the file of `--image` where one is named: it names its flow."""
    from deploy import artifact

    file = cli.file("--image", image)
    return flow or (artifact.read(file, None, "").flow if file else None), file


@task
@cli.sentences
def setup(c: Context) -> None:
    """Bring up what is missing on this machine: a Docker engine, the base image, pf's tools."""
    from deploy import base, engine, image, packing, setup
    from deploy.model import ImageSettings

    setup.ensure_engine()
    client = engine.connect()
    settings = ImageSettings(base=_project().environ.get("FLOW_BASE_IMAGE") or None)
    chosen = base.ensure(client, settings, ROOT)
    packing.tools(client, image.native_base(client, settings, chosen, ROOT), settings.python)


@task(help={"json": "print JSON"})
@cli.sentences
def doctor(c: Context, json: bool = False) -> None:
    """Check each requirement on this machine, and name the next command for what is missing."""
    from deploy import console, doctor

    findings = doctor.examine(_project())
    rows = [vars(finding) for finding in findings]
    console.as_json(rows) if json else console.table(
        rows, ("requirement", "found", "detail", "next")
    )
    if any(finding.needed and not finding.found for finding in findings):
        raise Exit(code=1)


@task(help={"json": "print JSON"})
@cli.sentences
def flows(c: Context, json: bool = False) -> None:
    """List the flows: kind, environments and targets, connections, image tag, built or not."""
    from deploy import console, pipeline

    rows = pipeline.overview(_project())
    console.as_json(rows) if json else console.table(rows)


@task(help={"flow": FLOW, "env": ENV, "json": "print JSON"})
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


@task(help={"flow": FLOW})
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


@task(help={"flow": FLOW, "env": "only flows of this environment", "json": "print JSON"})
@cli.sentences
def build(c: Context, flow: str | None = None, env: str | None = None, json: bool = False) -> None:
    """Build the image of each flow; what is unchanged is not built again."""
    from deploy import config, console, images

    project = _project()
    chosen = [s.flow for s in _specs(flow, env)] if env else config.load_flows(project, flow)
    built = [images.build(project, one) for one in chosen]
    if json:
        console.as_json([vars(image) for image in built])
    else:
        console.table([{"image": image.reference, "id": image.id} for image in built])


@task(help={"flow": FLOW, "env": f"{ENV}; it must have a registry", "json": "print JSON"})
@cli.sentences
def push(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Publish each flow's image to the environment's registry; what is there is left as it is."""
    from deploy import console, images

    project = _project()
    done = cli.each(_specs(flow, env), lambda spec: images.publish(project, spec))
    _show_published(done.results) if not json else console.as_json(
        [vars(image) for image in done.results]
    )
    done.finish()


@task(
    help={
        "from": "the environment whose image it is",
        "to": "the environment whose registry gets it",
        "flow": FLOW,
        "image": "a file of `inv push`; without it, what runs in --from",
        "json": "print JSON",
    }
)
@cli.sentences
def promote(
    c: Context,
    from_: str | None = None,
    to: str | None = None,
    flow: str | None = None,
    image: str | None = None,
    json: bool = False,
) -> None:
    """Carry the very same image onward, by its digest; nothing is built."""
    from deploy import console, pipeline

    project = _project()
    flow, handed = _handed(flow, image)
    goal = cli.needed("--to", to)
    origins = _specs(flow, cli.needed("--from", from_))
    pairs = [(spec, _specs(spec.flow.name, goal)[0]) for spec in origins]
    done = cli.each(pairs, lambda pair: pipeline.promote(*pair, project, handed))
    _show_published(done.results) if not json else console.as_json(
        [vars(image) for image in done.results]
    )
    done.finish()


def _show_published(published: Any) -> None:
    from deploy import console

    console.table([{"image": image.reference, "digest": image.digest} for image in published])


@task(
    help={
        "flow": "one flow; without it, every flow",
        "env": "an environment with a registry: what that has of it, too",
        "json": "print JSON",
    }
)
@cli.sentences
def inspect(
    c: Context, flow: str | None = None, env: str | None = None, json: bool = False
) -> None:
    """Show what is inside each flow's image: its layers, the largest packages, what it says."""
    from deploy import config, console, pipeline
    from deploy.inside import inspection

    project = _project()
    chosen: list[Any] = (
        [(spec.flow, spec) for spec in _specs(flow, env)]
        if env
        else [(one, None) for one in config.load_flows(project, flow)]
    )
    done = cli.each(chosen, lambda pair: pipeline.inspect(project, *pair))
    if json:
        console.as_json([pipeline.as_data(found) for found in done.results])
    else:
        inspection.show(done.results)
    done.finish()


@task(
    help={
        "flow": FLOW,
        "env": ENV,
        "image": "a file of `inv push`; nothing is built then",
        "json": "print JSON",
    }
)
@cli.sentences
def plan(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    image: str | None = None,
    json: bool = False,
) -> None:
    """Show what a deploy would change, and why. The status is 0 for nothing, 2 for something."""
    from deploy import console, pipeline

    project = _project()
    flow, handed = _handed(flow, image)
    specs = _specs(flow, env)
    plans = cli.each(specs, lambda spec: pipeline.plan(project, spec, handed), AT_ONCE)
    steps = [
        {"flow": p.spec.flow.name, **pipeline.as_data(step)}
        for p in plans.results
        for step in p.steps
    ]
    console.as_json(steps) if json else console.table(steps)
    plans.finish()
    if any(p.changes for p in plans.results):
        raise Exit(code=CHANGES)


@task(
    help={
        "flow": FLOW,
        "env": ENV,
        "image": "a file of `inv push`; nothing is built then",
        "no-wait": "hand back once a long operation has begun; `inv status` shows how it goes",
        "json": "print JSON",
    }
)
@cli.sentences
def deploy(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    image: str | None = None,
    no_wait: bool = False,
    json: bool = False,
) -> None:
    """Build, publish, deploy the image where the configuration says; prove it with the sample."""
    from deploy import console, pipeline

    project = _project()
    flow, handed = _handed(flow, image)
    done = cli.each(
        _specs(flow, env),
        lambda spec: pipeline.deploy(project, spec, handed, wait=not no_wait),
        AT_ONCE,
    )
    rows = [pipeline.as_data(deployment) for deployment in done.results]
    rows += [pipeline.nothing_deployed(spec, "failed") for spec in done.failed]
    shown = ("flow", "environment", "target", "state", "tag", "url")
    if json:
        console.as_json(rows)
    else:
        console.table([{key: row.get(key) for key in shown} for row in rows], shown)
    done.finish()


@task(help={"flow": FLOW, "env": ENV, "json": "print JSON"})
@cli.sentences
def rollback(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Let the version that served before serve again, where the target keeps it."""
    from deploy import pipeline

    project = _project()
    done = cli.each(_specs(flow, env), lambda spec: pipeline.rollback(project, spec), AT_ONCE)
    _show_status([row for found in done.results for row in pipeline.status_rows(found)], json)
    done.finish()


@task(help={"flow": FLOW, "env": ENV, "json": "print JSON"})
@cli.sentences
def smoke(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Score each flow's sample against what is deployed, and judge the answer."""
    from deploy import console, pipeline, verify

    done = cli.each(_specs(flow, env), lambda spec: (spec, pipeline.prove(spec)))
    rows = [{"flow": spec.flow.name, **pipeline.as_data(proof)} for spec, proof in done.results]
    if json:
        console.as_json(rows)
    else:
        for spec, proof in done.results:
            console.as_json(proof.answer)
            print(f"\nIt runs at {proof.url} and took {proof.seconds:.2f} s")
            print(f"Try it:  {verify.curl(proof.url, spec, proof.auth)}")
    done.finish()


@task(
    help={
        "flow": FLOW,
        "env": ENV,
        "tail": "how many lines",
        "follow": "of one flow, then those that come, until Ctrl-C",
    }
)
@cli.sentences
def logs(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    tail: str = "100",
    follow: bool = False,
) -> None:
    """Print the last lines of what is deployed."""
    from deploy import pipeline

    specs = _specs(flow, env)
    if follow:
        for line in pipeline.logs(cli.one(specs, "--follow"), cli.count("--tail", tail), True):
            print(line, flush=True)
        return
    # Of all flows those that run; the one that is asked for must.
    for spec in specs if flow else [spec for spec in specs if pipeline.status(spec)]:
        for line in pipeline.logs(spec, cli.count("--tail", tail)):
            print(line if flow else f"{spec.flow.name}: {line}")


@task(help={"flow": FLOW, "env": ENV, "json": "print JSON"})
@cli.sentences
def status(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Show what runs: state, URL, image tag, commit, since when, and who serves what share."""
    from deploy import console, pipeline

    found = [(spec, pipeline.status(spec)) for spec in _specs(flow, env)]
    if json:
        console.as_json([pipeline.as_data(d) or pipeline.nothing_deployed(s) for s, d in found])
        return
    _show_status(
        [
            row
            for spec, one in found
            for row in (pipeline.status_rows(one) if one else [pipeline.nothing_deployed(spec)])
        ]
    )


def _show_status(rows: list[dict[str, Any]], json: bool = False) -> None:
    from deploy import console

    if json:
        console.as_json(rows)
        return
    # The width of what is longer in the data.
    shown: dict[str, int | None] = dict.fromkeys(
        ("flow", "environment", "target", "state", "share")
    )
    shown |= {"tag": None, "commit": 7, "since": len("2026-01-01T00:00:00"), "by": 20, "url": None}
    rows = [{**row, "since": row.get("created", "")} for row in rows]
    console.table(
        [{key: str(row.get(key, ""))[:width] for key, width in shown.items()} for row in rows]
    )


@task(
    help={
        "flow": FLOW,
        "env": ENV,
        "yes": "do it for every flow of an environment that is not local",
        "json": "print JSON",
    }
)
@cli.sentences
def destroy(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Remove what was deployed, and nothing else."""
    from deploy import console, pipeline

    specs = _specs(flow, env)
    if not (flow or yes or env == "local"):
        cli.refuse_without_yes(env, [spec.flow.name for spec in specs])
    steps = [
        {"flow": spec.flow.name, **pipeline.as_data(step)}
        for spec in specs
        for step in pipeline.destroy(spec)
    ]
    if json:
        console.as_json(steps)
    elif steps:
        console.table(steps, ("flow", "action", "what"))
    else:
        print("nothing was deployed")


@task(
    help={
        "env": "an environment of environments.yaml in Azure; all of them without it",
        "flow": FLOW,
        "shell": "a shell in which `inv` leads there, in place of the delivery",
    }
)
@cli.sentences
def sandbox(
    c: Context, env: str | None = None, flow: str | None = None, shell: bool = False
) -> None:
    """Run whole deliveries against an emulated Azure on this machine, and say what happened."""
    command = "python -m tests.emulator.delivery"
    command += f" --env {env}" if env else ""
    command += f" --flow {flow}" if flow else ""
    cli.run(c, command + " --shell" if shell else command)


@task
@cli.sentences
def schema(c: Context) -> None:
    """Write the JSON Schemas of the configuration files, for editors."""
    from deploy import published

    for path in published.write(ROOT):
        print(path)


@task(
    help={
        "serve": "show it on this machine, and keep it up to date, until Ctrl-C",
        "write": "write docs/reference/tasks.md anew, and build nothing",
        "mermaid": "a mermaid.min.js for diagrams; without it, readers fetch one from unpkg.com",
    }
)
@cli.sentences
def docs(c: Context, serve: bool = False, write: bool = False, mermaid: str | None = None) -> None:
    """Build the site of docs/ in .build/site; a dead link or a missing page is an error."""
    from deploy.documentation import site, task_reference

    if write:
        print(task_reference.write(namespace, ROOT))
        return
    script = cli.file("--mermaid", mermaid, "`npm pack mermaid` has it, in dist")
    site.serve(ROOT, script) if serve else print(site.build(ROOT, script))


@task
def check(c: Context) -> None:
    """Lint and types: ruff and mypy --strict."""
    cli.run(c, "ruff check", "ruff format --check", "mypy")


@task(help={"unit": "only the unit tests: no Docker, seconds", "k": "only tests that match"})
def test(c: Context, unit: bool = False, k: str = "") -> None:
    """Lint, types and tests; the integration tests build and run real images."""
    import os

    check(c)
    marks = "not integration and not benchmark" if unit else "not benchmark"
    if k:
        cli.run(c, f"pytest -m '{marks}' -k '{k}'")
        return
    # Most wait for containers; each file stays with one worker, and so do its fixtures.
    workers = f"-n {min(os.cpu_count() or 1, WORKERS)} --dist loadfile --no-loadscope-reorder"
    beside = f"pytest {workers} -m '{marks} and not alone'"
    cli.run(c, beside, *([] if unit else ["pytest -m 'alone and not benchmark'"]))


@task(
    help={
        "only": "parts, separated by commas: build, size, start, load, stream, stop",
        "flow": "one flow: faq (no model), llm or chat; all without it",
        "repeat": "how often to measure each",
        "seconds": "of each load",
        "traced": "ours with telemetry, too",
        "json": "print JSON, every single figure",
        "chart": "write an SVG to this file; docs/serving.svg if all is measured",
        "again": "print what was measured last",
    }
)
def bench(
    c: Context,
    only: str = "",
    flow: str = "",
    repeat: int = 3,
    seconds: int = 10,
    traced: bool = False,
    json: bool = False,
    chart: str = "",
    again: bool = False,
) -> None:
    """Measure our images beside pf's own images of the same flows, and draw the figures."""
    command = f"python -m tests.benchmarks.compare --repeat {repeat} --seconds {seconds}"
    command += "".join(f" --only {part}" for part in only.split(",") if part)
    command += f" --flow {flow}" if flow else ""
    chart = chart or ("" if only or flow or again else "docs/serving.svg")
    command += f" --chart {chart}" if chart else ""
    flags = {"--traced": traced, "--json": json, "--again": again}
    cli.run(c, command + "".join(f" {name}" for name, wanted in flags.items() if wanted))


# Tasks with a name in front: `inv infra.plan`.
namespace = Collection.from_module(sys.modules[__name__])
namespace.add_collection(Collection.from_module(infra_tasks, name="infra"))
