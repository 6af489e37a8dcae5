"""`inv` in a process of its own, to be killed: forked from one that has imported what takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

FORKS = multiprocessing.get_context("forkserver")
HEAVY = ["azure.ai.ml", "azure.ai.ml.entities", "azure.identity", "docker", "deploy.pipeline"]


def inv(root: Path, log: Path, *arguments: str) -> ForkServerProcess:
    """Start `inv` in the project `root`; what it says goes to `log`."""
    FORKS.set_forkserver_preload([*HEAVY, __name__])
    with pytest.MonkeyPatch.context() as patch:
        # The SDK leaves it in the environment, and cannot be imported with it.
        patch.delenv("AZUREML_CURRENT_CLOUD", raising=False)
        process = FORKS.Process(target=_run, args=(root, log, dict(os.environ), arguments))
        process.start()
    return process


def _run(root: Path, log: Path, environ: dict[str, str], arguments: tuple[str, ...]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(root)
    with log.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    from invoke.collection import Collection
    from invoke.program import Program

    import tasks

    tasks.ROOT = root
    Program(namespace=Collection.from_module(tasks)).run(["inv", *arguments])
