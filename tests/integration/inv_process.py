"""`inv` in a process that can be killed: forked from one that has imported the slow modules."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

FORKS = multiprocessing.get_context("forkserver")
# The SDK leaves it in the environment, and cannot be imported with it.
LEFT = "AZUREML_CURRENT_CLOUD"
ROOT = Path(__file__).parents[2]
HEAVY = ["azure.ai.ml", "azure.ai.ml.entities", "azure.identity", "invoke.program"]
HEAVY += ["azure.mgmt.web", "tasks", "deploy.delivery.pipeline"]
HEAVY += [f"deploy.targets.{name}" for name in ("azureml", "appservice", "local")]


def prepare() -> None:
    """Begin to import, beside whatever else is done until `inv`."""
    FORKS.set_forkserver_preload([*HEAVY, __name__])
    with pytest.MonkeyPatch.context() as patch:
        # From where what is imported is found.
        patch.chdir(ROOT)
        patch.delenv(LEFT, raising=False)
        forkserver.ensure_running()


def inv(
    root: Path, log: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """Start `inv` in the project `root`, with `variables` in place of this process's environment.

    What it says goes to `log`.
    """
    environ = {name: value for name, value in (variables or os.environ).items() if name != LEFT}
    process = FORKS.Process(target=_run, args=(root, log, environ, arguments))
    process.start()
    return process


def _run(root: Path, log: Path, environ: dict[str, str], arguments: tuple[str, ...]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(root)
    with log.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    from invoke.program import Program

    import tasks
    from deploy.cli import repository

    repository.ROOT = root
    Program(namespace=tasks.namespace).run(["inv", *arguments])
