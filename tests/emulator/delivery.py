"""Whole deliveries against an emulated Azure: `inv sandbox`, for each environment in Azure or for one.

Each step is a command that a person, or CI, would run; callers score all the time. A table at the end
tells what happened.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import console
from deploy.errors import DeployError
from deploy.model import Spec
from tests import callers
from tests.callers import Calls
from tests.emulator.sandbox import Sandbox
from tests.emulator.tools import MissingError

ROOT = Path(__file__).parents[2]
# Seconds between two requests of a caller: what is shown has the processors for itself.
PAUSE = 0.1


@dataclass(frozen=True)
class Step:
    """A task, the status that it must end with, and what it is there for."""

    what: str
    task: tuple[str, ...]
    status: int = 0


PREVIEW = Step("what a deploy would do", ("plan",), status=2)
FIRST = Step("the first version", ("deploy",))
NOTHING = Step("nothing is left to do", ("plan",))
SMOKE = Step("the sample, as a caller sends it", ("smoke",))
SECOND = Step("another version, beside the first", ("deploy",))
STATUS = Step("who serves what share", ("status",))
BACK = Step("the way back", ("rollback", "--yes"))
LOGS = Step("what the containers say", ("logs", "--tail", "5"))
DESTROY = Step("all of it removed", ("destroy", "--yes"))
STEPS = (PREVIEW, FIRST, NOTHING, SMOKE, SECOND, STATUS, BACK, LOGS, DESTROY)


def main() -> int:
    """Run the delivery, or a shell; return its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default=None)
    parser.add_argument("--flow", default=None)
    parser.add_argument("--shell", action="store_true")
    options = parser.parse_args()
    try:
        with Sandbox(ROOT) as sandbox:
            if options.shell:
                return shell(sandbox)
            return deliver(sandbox, options.env, options.flow)
    except (DeployError, MissingError) as error:
        print(error, file=sys.stderr)
        return 1


def shell(sandbox: Sandbox) -> int:
    """Let a person work in it; return the shell's status."""
    print("`inv` leads to an emulated Azure here; `exit` removes it all", file=sys.stderr)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [os.environ.get("SHELL", "/bin/sh")]
    environment = {**sandbox.environment, "PATH": path}
    return subprocess.run(command, cwd=sandbox.root, env=environment, check=False).returncode


def deliver(sandbox: Sandbox, environment: str | None = None, flow: str | None = None) -> int:
    """Deliver to one environment, or one after the other; return the status."""
    specs = sandbox.specs(environment, flow)
    names = list(dict.fromkeys(spec.environment for spec in specs))
    told = [
        _deliver(sandbox, [spec for spec in specs if spec.environment == name], name, flow)
        for name in names
    ]
    return max(told, default=1)


def _deliver(sandbox: Sandbox, specs: list[Spec], environment: str, flow: str | None) -> int:
    """Do all steps. Return 1 where one does not end as it must, or a caller's request is lost."""
    chosen = ("--env", environment, *(("--flow", flow) if flow else ()))
    rows: list[dict[str, Any]] = []
    calls: list[Calls] = []
    with contextlib.ExitStack() as calling:
        for step in STEPS:
            if step is SECOND:
                for spec in specs:
                    sandbox.change(spec.flow.name)
            if step is DESTROY:
                calling.close()
            rows.append(_do(sandbox, step, chosen))
            if rows[-1]["status"] != step.status:
                break
            if step is FIRST:
                calls = [calling.enter_context(_calling(sandbox, spec)) for spec in specs]
    print()
    console.table(rows)
    answered, lost = sum(c.answered.total() for c in calls), sum(len(c.lost) for c in calls)
    print(f"\nMeanwhile callers had {answered} answers and lost {lost} requests.")
    whole = len(rows) == len(STEPS) and rows[-1]["status"] == STEPS[-1].status
    return 0 if whole and answered and not lost else 1


def _do(sandbox: Sandbox, step: Step, chosen: tuple[str, ...]) -> dict[str, Any]:
    task = (*step.task, *chosen)
    print(f"\n$ inv {' '.join(task)}", flush=True)
    start = time.monotonic()
    status = sandbox.inv(*task).returncode
    seconds = f"{time.monotonic() - start:.1f}"
    return {
        "step": step.what,
        "command": f"inv {' '.join(task)}",
        "seconds": seconds,
        "status": status,
    }


def _calling(sandbox: Sandbox, spec: Spec) -> contextlib.AbstractContextManager[Calls]:
    body = json.loads(spec.flow.sample.read_text(encoding="utf-8"))
    url, headers = sandbox.access(spec)
    ask = callers.scoring(url, body, headers)
    return callers.calling(ask, str(sandbox.azure.authority.bundle), pause=PAUSE)


if __name__ == "__main__":
    sys.exit(main())
