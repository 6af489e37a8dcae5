"""Tasks of whoever changes this repository: checks, tests, benchmarks, the sandbox, its pages.

Bodies are a few lines; what is heavy is imported inside.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from deploy import cli

ROOT = Path(__file__).parents[1]
# Of tests, side by side.
WORKERS = 4
# Engines other than this machine's own, and the tests of what differs on them.
ENGINES = ("containerd", "podman")
PUBLISHING = ("tests/integration/test_build.py", "tests/integration/test_push.py")


@task(
    help={
        "env": "an environment of environments.yaml in Azure; all of them without it",
        "flow": "one flow; without it, every flow of the environment",
        "shell": "a shell in which `inv` leads there, in place of the delivery",
    }
)
@cli.sentences
def sandbox(
    c: Context, env: str | None = None, flow: str | None = None, shell: bool = False
) -> None:
    """Run whole deliveries against an emulated Azure on this machine, and say what happened."""
    command = ["python", "-m", "tests.emulator.delivery"]
    command += ["--env", env] if env else []
    command += ["--flow", flow] if flow else []
    cli.run(c, shlex.join([*command, "--shell"] if shell else command))


@task
@cli.sentences
def schema(c: Context) -> None:
    """Write the JSON Schemas of the configuration files, for editors."""
    from deploy import published

    for path in published.write(ROOT):
        print(path)


@task
def check(c: Context) -> None:
    """Lint and types: ruff, mypy --strict, and linters of workflows, YAML and shell scripts."""
    from deploy.ci import linters

    cli.run(c, "ruff check", "ruff format --check", "mypy", *linters.commands(ROOT))


@task(
    help={
        "unit": "only the unit tests: no Docker, a minute",
        "k": "only tests that match",
        "all": "what takes minutes, too, and publishing on other engines: containerd store, podman",
    }
)
def test(c: Context, unit: bool = False, k: str = "", all: bool = False) -> None:
    """Lint, types and tests; the integration tests build and run real images."""
    import os

    check(c)
    marks = "not integration and not benchmark" if unit else "not benchmark"
    if k:
        cli.run(c, shlex.join(["pytest", "-m", marks, "-k", k]))
        return
    marks += "" if all else " and not slow"
    # Most wait for containers: one worker more than processors. Each file stays with one of them,
    # and so do its fixtures.
    count = min((os.cpu_count() or 1) + 1, WORKERS)
    workers = f"-n {count} --dist loadfile --no-loadscope-reorder"
    cli.run(c, f"pytest {workers} -m '{marks} and not alone'")
    if unit:
        return
    cli.run(c, f"pytest -m 'alone and {marks}'")
    # What depends on the base, on a stand-in of the image that users have as theirs.
    official = f"python -m tests.on_official_base -- pytest {workers}"
    cli.run(c, f"{official} -m 'bases and not alone and {marks}'")
    if all:
        for engine in ENGINES:
            publishing = f"pytest {' '.join(PUBLISHING)} -m 'not alone'"
            cli.run(c, f"python -m tests.engines {engine} -- {publishing}")


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
    command = ["python", "-m", "tests.benchmarks.compare"]
    command += ["--repeat", str(repeat), "--seconds", str(seconds)]
    for part in filter(None, only.split(",")):
        command += ["--only", part]
    command += ["--flow", flow] if flow else []
    chart = chart or ("" if only or flow or again else "docs/serving.svg")
    command += ["--chart", chart] if chart else []
    flags = {"--traced": traced, "--json": json, "--again": again}
    cli.run(c, shlex.join([*command, *(name for name, wanted in flags.items() if wanted)]))
