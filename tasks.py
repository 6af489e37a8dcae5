"""Every task. Bodies are a few lines; what is heavy to import is imported inside.

Here are those of a flow's way to where it runs; others are where they belong, and named here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import cli
from deploy.advice.tasks import advise
from deploy.ci import tasks as ci_tasks
from deploy.infra import tasks as infra_tasks
from deploy.llmops import tasks as import_tasks
from deploy.workshop import bench, check, sandbox, schema, test

__all__ = ["advise", "bench", "check", "sandbox", "schema", "test"]

ROOT = Path(__file__).parent
FLOW = "one flow; without it, every flow of the environment"
TRUST = "use an image of the registry unverified, where you trust all who may push there"
ENV = "an environment of environments.yaml (default: local)"
# How many flows are planned, deployed and rolled back side by side.
AT_ONCE = 4
# The status of `inv plan` where something would change.
CHANGES = 2


def _project() -> Any:
    from deploy import config

    return config.open_project(ROOT)


def _specs(flow: str | None, env: str) -> Any:
    from deploy import config

    return config.load_specs(_project(), env, flow)


def _handed(flow: str | None, image: str | None) -> tuple[str | None, Path | None]:
    """Return which flow, and what `--image` names: a file names its flow, a folder many."""
    from deploy import artifact

    given = cli.file("--image", image)
    if flow or given is None or given.is_dir():
        return flow, given
    return artifact.read(given, None, "").flow, given


@task
@cli.sentences
def setup(c: Context) -> None:
    """Bring up what is missing on this machine: a Docker engine, the base image, pf's tools."""
    from deploy import setup
    from deploy.build import base_image, package_flow
    from deploy.docker import engine

    setup.ensure_engine()
    client = engine.connect()
    native = engine.native_platform(client)
    for settings in _bases(client):
        chosen = base_image.ensure(client, settings, ROOT)
        if settings.platform == native and not settings.system_packages:
            package_flow.tools(client, chosen, settings.python)


def _bases(client: Any) -> list[Any]:
    """Return the settings of every base image that flows need, and the default's."""
    from deploy import config
    from deploy.build import base_image
    from deploy.docker import engine

    project = _project()
    flows = [flow.image for flow in config.load_flows(project)]
    own = project.environ.get("FLOW_BASE_IMAGE") or None
    return base_image.settings_of(flows, own, engine.native_platform(client))


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
    """Get the base images of all flows: pull official ones, or make them of Debian packages."""
    from deploy.build import base_image
    from deploy.docker import engine

    client = engine.connect()
    get = base_image.refresh if refresh else base_image.ensure
    done = cli.each(_bases(client), lambda settings: get(client, settings, ROOT))
    for reference in dict.fromkeys(base.reference for base in done.results):
        print(reference)
    done.finish()


@task(
    help={
        "flow": FLOW,
        "env": "only flows of this environment",
        "context": "the folder for the Dockerfile and its files (default: .build/‹flow›)",
        "dry-run": "write that folder and show it; build nothing",
        "json": "print JSON",
    }
)
@cli.sentences
def build(
    c: Context,
    flow: str | None = None,
    env: str | None = None,
    context: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Build the image of each flow with docker build; what is unchanged is not built again."""
    from deploy import config, console, images
    from deploy.build import context as contexts

    project = _project()
    chosen = [s.flow for s in _specs(flow, env)] if env else config.load_flows(project, flow)
    if context:
        cli.one(chosen, "--context")
    folder = Path(context).absolute() if context else None
    if dry_run:
        for one in chosen:
            print(contexts.describe(images.prepare(project, one, folder)))
        return
    built = [images.build(project, one, context=folder) for one in chosen]
    if json:
        console.as_json([vars(image) for image in built])
    else:
        console.table([{"image": image.reference, "id": image.id} for image in built])


@task(
    help={
        "flow": "one flow; without it, every flow that has an evaluation",
        "env": "only flows of this environment, with its variables",
        "json": "print JSON, every row",
    }
)
@cli.sentences
def evaluate(
    c: Context, flow: str | None = None, env: str | None = None, json: bool = False
) -> None:
    """Run each flow over its data set, judge the answers, and fail below the thresholds."""
    from deploy.evaluation import evaluate, record, report

    project = _project()
    # Cache@2 of Azure Pipelines fails where this is not there (azure-pipelines-tasks, issue 16276).
    (ROOT / record.FOLDER).mkdir(parents=True, exist_ok=True)
    chosen = evaluate.chosen(project, flow, env)
    done = cli.each(chosen, lambda one: evaluate.evaluate(project, one, env))
    if chosen or json:
        report.show(done.results, json)
    else:
        print("no deploy.yaml says how to evaluate: see docs/evaluation.md")
    done.problems += [problem for found in done.results for problem in found.problems]
    done.finish()


@task(
    help={
        "flow": FLOW,
        "env": f"{ENV}; it must have a registry",
        "trust-registry": TRUST,
        "json": "print JSON",
    }
)
@cli.sentences
def push(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    trust_registry: bool = False,
    json: bool = False,
) -> None:
    """Publish each flow's image to the environment's registry; what is there is left as it is."""
    from deploy import images

    project = _project()
    done = cli.each(_specs(flow, env), lambda spec: images.publish(project, spec, trust_registry))
    _show_published(done.results, f"Published to {env}", json)
    done.finish()


@task(
    help={
        "from": "the environment whose image it is",
        "to": "the environment whose registry gets it",
        "flow": FLOW,
        "image": "a file of `inv push`, or their folder; without it, what runs in --from",
        "trust-registry": TRUST,
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
    trust_registry: bool = False,
    json: bool = False,
) -> None:
    """Carry the very same image onward, by its digest; nothing is built."""
    from deploy import pipeline

    project = _project()
    flow, handed = _handed(flow, image)
    goal = cli.needed("--to", to)
    origins = _specs(flow, cli.needed("--from", from_))
    # Of all flows those that are to be in both.
    chosen = [spec for spec in origins if flow or goal in spec.flow.environments]
    pairs = [(spec, _specs(spec.flow.name, goal)[0]) for spec in chosen]
    done = cli.each(pairs, lambda pair: pipeline.promote(*pair, project, handed, trust_registry))
    _show_published(done.results, f"Promoted from {from_} to {to}", json)
    done.finish()


def _show_published(published: Any, title: str, json: bool) -> None:
    from deploy import console

    rows = [{"image": image.reference, "digest": image.digest} for image in published]
    data = [vars(image) for image in published]
    console.show(rows, title=title, for_programs=json, data=data)


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
        "image": "a file of `inv push`, or their folder; nothing is built then",
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
    shown = ("flow", "action", "what", "before", "after", "why")
    console.show(steps, shown, title=f"Plan for {env}", for_programs=json)
    plans.finish()
    if any(p.changes for p in plans.results):
        raise Exit(code=CHANGES)


@task(
    help={
        "flow": FLOW,
        "env": ENV,
        "image": "a file of `inv push`, or their folder; nothing is built then",
        "trust-registry": TRUST,
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
    trust_registry: bool = False,
    no_wait: bool = False,
    json: bool = False,
) -> None:
    """Build, publish, deploy the image where the configuration says; prove it with the sample."""
    from deploy import console, pipeline

    project = _project()
    flow, handed = _handed(flow, image)
    done = cli.each(
        _specs(flow, env),
        lambda spec: pipeline.deploy(project, spec, handed, not no_wait, trust_registry),
        AT_ONCE,
    )
    rows = [pipeline.as_data(deployment) for deployment in done.results]
    rows += [pipeline.nothing_deployed(spec, "failed") for spec in done.failed]
    shown = ("flow", "environment", "target", "state", "tag", "url")
    table = [{key: row.get(key) for key in shown} for row in rows]
    console.show(table, title=f"Deployed to {env}", for_programs=json, data=rows)
    done.finish()


@task(
    help={
        "flow": FLOW,
        "env": ENV,
        "yes": "do it for every flow of an environment that is not local",
        "json": "print JSON",
    }
)
@cli.sentences
def rollback(
    c: Context,
    flow: str | None = None,
    env: str = "local",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Let the version that served before serve again, where the target keeps it."""
    from deploy import pipeline

    project, specs = _project(), _specs(flow, env)
    if not (flow or yes or env == "local"):
        cli.refuse_without_yes("rolls back", env, [spec.flow.name for spec in specs])
    done = cli.each(specs, lambda spec: pipeline.rollback(project, spec), AT_ONCE)
    rows = [row for found in done.results for row in pipeline.status_rows(found)]
    _show_status(rows, f"Rolled back in {env}", json, rows)
    done.finish()


@task(help={"flow": FLOW, "env": ENV, "json": "print JSON"})
@cli.sentences
def smoke(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Score each flow's sample against what is deployed, and judge the answer."""
    from deploy import console, pipeline, verify
    from deploy.job import system

    done = cli.each(_specs(flow, env), lambda spec: (spec, pipeline.prove(spec)))
    console.report(pipeline.smoke_rows(done.results, done.failed), (), f"Smoke test in {env}")
    if json:
        console.as_json(
            [{"flow": spec.flow.name, **pipeline.as_data(proof)} for spec, proof in done.results]
        )
    else:
        for spec, proof in done.results:
            with system.group(f"{spec.flow.name}: the answer"):
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
    from deploy.job import system

    specs, lines = _specs(flow, env), cli.count("--tail", tail)
    if follow:
        for line in pipeline.logs(cli.one(specs, "--follow"), lines, True):
            print(system.inert(line), flush=True)
        return
    # Of all flows those that run; the one that is asked for must.
    for spec in specs if flow else [spec for spec in specs if pipeline.status(spec)]:
        with system.group(f"{spec.flow.name}: the log"):
            for line in pipeline.logs(spec, lines):
                print(system.inert(line if flow else f"{spec.flow.name}: {line}"))


@task(help={"flow": FLOW, "env": ENV, "json": "print JSON"})
@cli.sentences
def status(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Show what runs: state, URL, image tag, commit, since when, and who serves what share."""
    from deploy import pipeline

    found = [(spec, pipeline.status(spec)) for spec in _specs(flow, env)]
    data = [pipeline.as_data(one) or pipeline.nothing_deployed(spec) for spec, one in found]
    rows = [
        row
        for spec, one in found
        for row in (pipeline.status_rows(one) if one else [pipeline.nothing_deployed(spec)])
    ]
    _show_status(rows, f"Status of {env}", json, data)


def _show_status(rows: list[dict[str, Any]], title: str, json: bool, data: Any) -> None:
    from deploy import console

    # The width of what is longer in the data.
    shown: dict[str, int | None] = dict.fromkeys(
        ("flow", "environment", "target", "state", "share")
    )
    shown |= {"tag": None, "commit": 7, "since": len("2026-01-01T00:00:00"), "by": 20, "url": None}
    rows = [{**row, "since": row.get("created", "")} for row in rows]
    table = [{key: str(row.get(key, ""))[:width] for key, width in shown.items()} for row in rows]
    console.show(table, title=title, for_programs=json, data=data)


@task(help={"flow": FLOW, "env": ENV, "json": "print JSON"})
@cli.sentences
def drift(c: Context, flow: str | None = None, env: str = "local", json: bool = False) -> None:
    """Compare what runs with the configuration; only reads. The status is 2 for a difference."""
    from deploy import console, drift
    from deploy.job import system

    project = _project()
    looks = drift.looks(project, env, _specs(flow, env), whole=flow is None)
    done = cli.each(looks, lambda look: look(), AT_ONCE)
    found = [finding for findings in done.results for finding in findings]
    rows, nothing = [vars(one) for one in found], "what runs is as configured"
    title = f"Drift of {env}"
    console.show(rows, title=title, for_programs=json, nothing="" if done.failed else nothing)
    differences = [one for one in found if one.drift]
    for one in differences:
        system.annotate("warning", drift.problem(one, env))
    done.finish()
    if differences:
        raise Exit(code=CHANGES)


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
        cli.refuse_without_yes("removes", env, [spec.flow.name for spec in specs])
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


# Tasks with a name in front: `inv infra.plan`.
namespace = Collection.from_module(sys.modules[__name__])
namespace.add_collection(Collection.from_module(ci_tasks, name="ci"))
namespace.add_collection(Collection.from_module(infra_tasks, name="infra"))
namespace.add_collection(Collection.from_module(import_tasks, name="import"))
