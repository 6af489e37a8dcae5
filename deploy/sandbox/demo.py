"""Run complete deliveries against an emulated Azure: the program behind `inv sandbox`.

Each step is a command that a person or CI would run, while clients send requests all the time. A
table at the end shows the results.
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

from deploy.config.target import AnySpec
from deploy.core import output
from deploy.core.errors import DeployError
from deploy.sandbox import scoring_clients
from deploy.sandbox.registry_binary import RegistryMissingError
from deploy.sandbox.sandbox import Sandbox
from deploy.sandbox.scoring_clients import ClientResults

ROOT = Path(__file__).parents[2]
# Seconds between two requests of a client, so that the demo itself has enough processor time.
CLIENT_PAUSE = 0.1


@dataclass(frozen=True)
class Step:
    """A task to run."""

    purpose: str
    task: tuple[str, ...]
    # The exit code that the task must have.
    exit_code: int = 0


PREVIEW = Step("preview of the changes", ("plan",), exit_code=2)
FIRST_DEPLOY = Step("first version", ("deploy",))
PLAN_WITHOUT_CHANGES = Step("no further changes", ("plan",))
SMOKE = Step("sample request", ("smoke",))
SECOND_DEPLOY = Step("second version", ("deploy",))
STATUS = Step("traffic split", ("status",))
ROLLBACK = Step("previous version", ("rollback", "--yes"))
LOGS = Step("container logs", ("logs", "--tail", "5"))
DESTROY = Step("removal", ("destroy", "--yes"))
STEPS = (
    PREVIEW,
    FIRST_DEPLOY,
    PLAN_WITHOUT_CHANGES,
    SMOKE,
    SECOND_DEPLOY,
    STATUS,
    ROLLBACK,
    LOGS,
    DESTROY,
)


def main() -> int:
    """Run the delivery or a shell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default=None)
    parser.add_argument("--flow", default=None)
    parser.add_argument("--shell", action="store_true")
    options = parser.parse_args()
    try:
        with Sandbox(ROOT) as sandbox:
            if options.shell:
                return open_shell(sandbox)
            return deliver_to_environments(sandbox, options.env, options.flow)
    except (DeployError, RegistryMissingError) as error:
        print(error, file=sys.stderr)
        return 1


def open_shell(sandbox: Sandbox) -> int:
    """Open a shell in the sandbox; return its exit code."""
    print("`inv` uses an emulated Azure here; `exit` removes everything", file=sys.stderr)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [os.environ.get("SHELL", "/bin/sh")]
    environment = {**sandbox.environment, "PATH": path}
    return subprocess.run(command, cwd=sandbox.root, env=environment, check=False).returncode


def deliver_to_environments(
    sandbox: Sandbox, environment: str | None = None, flow: str | None = None
) -> int:
    """Deliver to one environment, or to all in turn; return the exit code."""
    specs = sandbox.specs(environment, flow)
    names = list(dict.fromkeys(spec.environment for spec in specs))
    exit_codes = [
        _deliver_to_environment(
            sandbox, [spec for spec in specs if spec.environment == name], name, flow
        )
        for name in names
    ]
    return max(exit_codes, default=1)


def _deliver_to_environment(
    sandbox: Sandbox, specs: list[AnySpec], environment: str, flow: str | None
) -> int:
    """Run all steps. Return 1 if one has an unexpected exit code or a client's request is lost."""
    selection = ("--env", environment, *(("--flow", flow) if flow else ()))
    rows: list[dict[str, Any]] = []
    results: list[ClientResults] = []
    with contextlib.ExitStack() as clients:
        for step in STEPS:
            if step is SECOND_DEPLOY:
                for spec in specs:
                    sandbox.edit_flow(spec.flow.name)
            if step is DESTROY:
                clients.close()
            rows.append(_run_step(sandbox, step, selection))
            if rows[-1]["exit code"] != step.exit_code:
                break
            if step is FIRST_DEPLOY:
                results = [clients.enter_context(_start_clients(sandbox, spec)) for spec in specs]
    print()
    output.print_table(rows)
    answered = sum(result.answered.total() for result in results)
    lost = sum(len(result.lost) for result in results)
    print(f"\nMeanwhile, clients received {answered} responses and lost {lost} requests.")
    complete = len(rows) == len(STEPS) and rows[-1]["exit code"] == STEPS[-1].exit_code
    return 0 if complete and answered and not lost else 1


def _run_step(sandbox: Sandbox, step: Step, selection: tuple[str, ...]) -> dict[str, Any]:
    task = (*step.task, *selection)
    print(f"\n$ inv {' '.join(task)}", flush=True)
    start = time.monotonic()
    exit_code = sandbox.inv(*task).returncode
    seconds = f"{time.monotonic() - start:.1f}"
    return {
        "step": step.purpose,
        "command": f"inv {' '.join(task)}",
        "seconds": seconds,
        "exit code": exit_code,
    }


def _start_clients(
    sandbox: Sandbox, spec: AnySpec
) -> contextlib.AbstractContextManager[ClientResults]:
    body = json.loads(spec.flow.sample.read_text(encoding="utf-8"))
    url, headers = sandbox.get_scoring_access(spec)
    send = scoring_clients.build_request(url, body, headers)
    bundle = str(sandbox.azure.authority.bundle)
    return scoring_clients.run_clients(send, bundle, pause=CLIENT_PAUSE)


if __name__ == "__main__":
    sys.exit(main())
