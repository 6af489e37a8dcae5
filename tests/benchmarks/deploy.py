"""Print how many seconds of a deploy to Azure Machine Learning are our own: `python -m tests.benchmarks.deploy`.

They are those of the whole command in which the emulated service has no operation under way. Beside
it a script that does the writes of a first deploy with azure-ai-ml, one after the other, as its
documentation shows, and proves nothing. The image is in the registry before.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from deploy.config.configuration import DEPLOY_FILE
from deploy.sandbox.arm import GROUP
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.sandbox import Sandbox
from tests import projects
from tests.benchmarks import table
from tests.benchmarks.pf_base import say
from tests.benchmarks.results import Figure, Results

SCRIPT = Path(__file__).with_name("deploy_by_sdk.py")
DECLARED = """\
sample: sample.json
environments:
  dev: {target: azureml, soak: 0, guards: {probes: 1}}
"""
OURS, AGAIN, SDK = "inv deploy", "nothing to do", "azure-ai-ml in a script"


class Team:
    """A sandbox with `count` flows that differ in their names only."""

    def __init__(self, sandbox: Sandbox, count: int) -> None:
        self._sandbox = sandbox
        flows = sandbox.root / "flows"
        copied = flows.with_name("copied")
        shutil.move(flows / "faq", copied)
        shutil.rmtree(flows)
        self.names = [f"flow-{number}" for number in range(1, count + 1)]
        for name in self.names:
            shutil.copytree(copied, flows / name)
            (flows / name / DEPLOY_FILE).write_text(DECLARED, encoding="utf-8")
        place = json.loads(self._run("invoke", "config", "--env", "dev", "--json"))
        values = next(iter(place.values()))
        self.workspace: Workspace = sandbox.azure.find_workspace(values["place.workspace"]["value"])

    def inv(self, task: str) -> None:
        """Run a task. Raises `RuntimeError` where it fails."""
        self._run("invoke", task, "--env", "dev")

    def deploy(self) -> None:
        """Deploy every flow with `inv deploy`. Raises `RuntimeError` where it fails."""
        self.inv("deploy")

    def by_sdk(self) -> None:
        """Deploy every flow with a script. Raises `RuntimeError` where it fails."""
        images = [
            json.loads((self._sandbox.root / ".artifacts" / f"{name}.json").read_text("utf-8"))
            for name in self.names
        ]
        pinned = [f"{image['repository']}@{image['digest']}" for image in images]
        azure = self._sandbox.azure
        where = (azure.arm.server.url, azure.entra.server.url, azure.arm.subscription, GROUP)
        self._run(str(SCRIPT), *where, self.workspace.name, *pinned, module=False)

    def _run(self, *arguments: str, module: bool = True) -> str:
        command = [sys.executable, *(["-m"] if module else []), *arguments]
        done = subprocess.run(
            command,
            cwd=self._sandbox.root,
            env={**os.environ, **self._sandbox.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout


def measure(counts: Sequence[int], repeat: int) -> Results:
    """Return the figures for each number of flows."""
    results = Results()
    for count in counts:
        for number in range(1, repeat + 1):
            say(f"deploy: {count} flows, {number} of {repeat}")
            with Sandbox(projects.linked_repository()) as sandbox:
                team = Team(sandbox, count)
                team.inv("push")
                for variant, action in (
                    (OURS, team.deploy),
                    (AGAIN, team.deploy),
                    (SDK, team.by_sdk),
                ):
                    _one(results, count, variant, team.workspace, action)
    return results


def _one(
    results: Results, count: int, variant: str, workspace: Workspace, action: Callable[[], None]
) -> None:
    start = time.time()
    action()
    end = time.time()
    busy = union(workspace.operations.list_time_spans(), start, end)
    subject = f"{count} flow{'s' if count > 1 else ''}"
    results.add(Figure("deploy", subject, "s"), variant, end - start)
    results.add(Figure("deploy", subject, "  of them our own"), variant, end - start - busy)


def union(spans: Sequence[tuple[datetime, datetime]], start: float, end: float) -> float:
    """Return for how many seconds between `start` and `end` at least one of `spans` was there."""
    total, until = 0.0, start
    for began, ended in sorted((a.timestamp(), b.timestamp()) for a, b in spans):
        total += max(0.0, min(ended, end) - max(began, until))
        until = max(until, ended)
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(description="Our own seconds in a deploy.")
    parser.add_argument("--repeat", type=int, default=3, help="how often; 3 without it")
    parser.add_argument("--flows", type=int, nargs="+", default=[1, 10], help="how many flows")
    chosen = parser.parse_args(arguments)
    print(table.text(measure(chosen.flows, chosen.repeat)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
