"""Tasks for developers of this tool: checks, tests, benchmarks, sandbox, documentation site."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from deploy.cli import options, repository
from deploy.cli.task import task

# Tests run in parallel.
MAX_TEST_WORKERS = 4
# Engines other than this machine's own, and the tests of features that differ between engines.
OTHER_ENGINES = ("containerd", "podman")
PUBLISHING_TESTS = tuple(
    f"tests/integration/test_{name}.py"
    for name in ("build", "build_failures", "push", "push_failures")
)


@task(
    help={
        "env": "an environment in Azure of environments.yaml (default: all)",
        "shell": "open a shell in which `inv` uses the sandbox, instead of running deliveries",
    }
)
def sandbox(
    c: Context, env: str | None = None, flow: str | None = None, shell: bool = False
) -> None:
    """Run complete deliveries against an emulated Azure on this machine."""
    command = ["python", "-m", "deploy.sandbox.demo"]
    command += ["--env", env] if env else []
    command += ["--flow", flow] if flow else []
    _run_commands(c, shlex.join([*command, "--shell"] if shell else command))


@task
def schema(c: Context) -> None:
    """Write the JSON Schemas of the configuration files, for editors."""
    from deploy.config import json_schema

    for path in json_schema.write_schemas(repository.ROOT):
        print(path)


@task
def check(c: Context) -> None:
    """Run ruff, mypy --strict, import-linter, and linters of workflows, YAML and shell scripts."""
    from deploy.cli import linters

    _run_commands(
        c,
        "ruff check",
        "ruff format --check",
        "mypy",
        "lint-imports",
        *linters.list_commands(repository.ROOT),
    )


@task(
    help={
        "unit": "run unit tests only: no Docker, about a minute",
        "flow": "run only the tests of one flow",
        "flows": "run only the tests of your flows: build, run and score each",
        "since": "a git revision: test only flows that changed since, and the tool only if it did",
        "k": "run only tests whose names match",
        "all": "also run slow tests, and publishing on other engines (containerd store, podman)",
    }
)
def test(
    c: Context,
    unit: bool = False,
    flow: str | None = None,
    flows: bool = False,
    since: str = "",
    k: str = "",
    all: bool = False,
) -> None:
    """Run all checks and tests; the integration tests build and run real images."""
    if flows or flow:
        _test_flows(c, repository.load_flows(flow))
        return
    check(c)
    if since:
        changed = _find_changes(since)
        if not changed.tool:
            _test_flows(c, changed.flows)
            return
    marks = "not integration and not benchmark" if unit else "not benchmark"
    if k:
        _run_commands(c, shlex.join(["pytest", "-m", marks, "-k", k]))
        return
    marks += "" if all else " and not slow"
    # Most tests wait for containers, so use one worker more than there are processors. All tests of
    # a file, and so its fixtures, stay in one worker.
    count = min((os.cpu_count() or 1) + 1, MAX_TEST_WORKERS)
    workers = f"-n {count} --dist loadfile --no-loadscope-reorder"
    _run_commands(c, f"pytest {workers} -m '{marks} and not alone'")
    if unit:
        return
    _run_commands(c, f"pytest -m 'alone and {marks}'")
    # Tests that depend on the base image run on a stand-in for the official one as well.
    official = f"python -m tests.official_base -- pytest {workers}"
    _run_commands(c, f"{official} -m 'bases and not alone and {marks}'")
    if all:
        for engine in OTHER_ENGINES:
            publishing = f"pytest {' '.join(PUBLISHING_TESTS)} -m 'not alone'"
            _run_commands(c, f"python -m tests.engines {engine} -- {publishing}")


def _test_flows(c: Context, flows: Sequence[Any]) -> None:
    """Run tests/flows for these flows."""
    options = [f"--flow={flow.name}" for flow in flows]
    if options:
        _run_commands(c, shlex.join(["pytest", "-v", "tests/flows", *options]))
    else:
        print("no flow to test")


def _find_changes(since: str) -> Any:
    """Return what changed since the git revision `since`, and print notes on it."""
    from deploy.ci import changes
    from deploy.core import progress

    changed = changes.find_changes(repository.ROOT, repository.load_flows(), since)
    for note in changed.notes:
        progress.note("flows", note)
    return changed


@task(
    help={
        "only": "comma-separated parts: build, size, start, load, stream, stop (default: all)",
        "flow": "one flow: faq (without a model), llm or chat (default: all)",
        "repeat": "the number of measurements of each figure",
        "seconds": "the duration of each load test in seconds",
        "traced": "also measure our images with telemetry",
        "json": "print JSON with every measurement",
        "chart": "the SVG file to write (default: docs/serving.svg, if everything is measured)",
        "again": "print the previous figures; measure nothing",
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
    """Compare our images with pf's own images of the same flows, and draw a chart."""
    command = ["python", "-m", "tests.benchmarks.compare"]
    command += ["--repeat", str(repeat), "--seconds", str(seconds)]
    for part in filter(None, only.split(",")):
        command += ["--only", part]
    command += ["--flow", flow] if flow else []
    chart = chart or ("" if only or flow or again else "docs/serving.svg")
    command += ["--chart", chart] if chart else []
    flags = {"--traced": traced, "--json": json, "--again": again}
    _run_commands(c, shlex.join([*command, *(name for name, enabled in flags.items() if enabled)]))


@task(
    help={
        "serve": "serve the site on this machine, and rebuild it after changes, until Ctrl-C",
        "write": "write docs/reference/tasks.md; build nothing",
        "mermaid": "a mermaid.min.js for the diagrams (default: browsers load it from unpkg.com)",
    }
)
def docs(c: Context, serve: bool = False, write: bool = False, mermaid: str | None = None) -> None:
    """Build the documentation site in .build/site; dead links and missing pages are errors."""
    import tasks
    from deploy.docs_site import site, task_reference

    if write:
        print(task_reference.write_page(tasks.namespace, repository.ROOT))
        return
    script = options.parse_path(
        "--mermaid", mermaid, "`npm pack mermaid` downloads it; it is in dist/"
    )
    site.serve(repository.ROOT, script) if serve else print(site.build(repository.ROOT, script))


def _run_commands(c: Context, *commands: str) -> None:
    """Run commands with the programs of the virtual environment.

    Raise `Exit` with code 1 at the first command that fails.
    """
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # Tests start `inv` hundreds of times: compiling its modules each time would take minutes.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    for command in commands:
        result = c.run(command, env=environment, pty=sys.stdout.isatty(), warn=True, hide=False)
        if result is None or result.exited:
            raise Exit(f"failed: {command}", 1)
