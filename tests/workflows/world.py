"""Where the lines of workflows run: workspaces of a repository beside an emulated Azure, and the records.

A CI system's runner (`github`, `azure_devops`) reads the files; this is what both do with a line.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.sandbox.sandbox import Sandbox

# Lines that are not run here, and who runs them.
ELSEWHERE = {
    "sh deploy/bootstrap.sh": "a workspace has this checkout's .venv; `make test` begins with it",
    "make test": "runs this very test",
    ".venv/bin/inv check": "`inv test` begins with it, and `inv test` runs this test",
}
# Variables that a job of CI does not have from its machine.
PRIVATE = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")


@dataclass(frozen=True)
class Done:
    """A line that was run: its job, what it printed, how it ended, and how long it took."""

    scenario: str
    system: str
    job: str
    command: str
    status: int
    seconds: float
    printed: str = field(repr=False, default="")


@dataclass
class Job:
    """A job under way: its workspace, and the variables of its machine."""

    name: str
    folder: Path
    machine: Mapping[str, str]
    workspace: Path = field(init=False)

    def __post_init__(self) -> None:
        self.workspace = self.folder / "work"


class World:
    """A repository with history, and what is kept between jobs and runs.

    `programs` is a folder with programs that a machine of CI has. `first` is the digest of the first
    version that was delivered.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, programs: Path) -> None:
        self.sandbox = sandbox
        self.origin = sandbox.root
        self.done: list[Done] = []
        self.jobs: list[Job] = []
        self.scenario = self.system = self.first = ""
        self._path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self._folder = folder
        self._numbers = itertools.count(1)
        self.caches: dict[str, Path] = {}
        self.git("init", "-q", "-b", "main")
        # Whoever runs the tests may have no name of their own in git.
        self.git("config", "user.name", "a developer")
        self.git("config", "user.email", "developer@contoso.example")
        # Merges of pull requests are no branch's end.
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")
        self.commit("the flows as they are")
        self._compile()

    def git(self, *arguments: str) -> str:
        """Run git in the repository that is pushed to."""
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.origin, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit what is there; return the commit's name."""
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def merge_of(self, commit: str) -> str:
        """Return the merge that a pull request's jobs work on: of main and `commit`."""
        base = self.git("rev-parse", "main")
        tree = f"{commit}^{{tree}}"
        return self.git("commit-tree", tree, "-p", base, "-p", commit, "-m", "a pull request")

    def begin(self, scenario: str, system: str) -> None:
        """Begin a scenario: what is done from now on is of it."""
        self.scenario, self.system = scenario, system
        self.jobs.clear()

    def folder(self, name: str) -> Path:
        """Return a new folder."""
        made = self._folder / f"{next(self._numbers):02}-{name}"
        made.mkdir(parents=True)
        return made

    def job(self, name: str, **variables: str) -> Job:
        """Begin a job on a machine of its own: nothing of another job is there."""
        machine = {k: v for k, v in self.sandbox.environment.items() if k not in PRIVATE}
        machine |= {"CI": "true", "PATH": self._path, **variables}
        folder = self.folder("".join(c if c.isalnum() else "-" for c in name))
        self.jobs.append(Job(name, folder, machine))
        self.jobs[-1].workspace.mkdir()
        return self.jobs[-1]

    def checkout(self, job: Job, commit: str, depth: int) -> None:
        """Give the job a clone, with the virtual environment that the bootstrap would make.

        `depth` is how many commits there are in it; 0 for all.
        """
        deep = [f"--depth={depth}"] if depth else []
        for command in (
            ["init", "-q"],
            ["fetch", "-q", *deep, self.origin.as_uri(), commit],
            ["checkout", "-q", "FETCH_HEAD"],
        ):
            subprocess.run(["git", *command], cwd=job.workspace, check=True)
        (job.workspace / ".venv").symlink_to(Path(sys.prefix))
        for compiled in self.origin.glob("deploy/**/__pycache__"):
            shutil.copytree(compiled, job.workspace / compiled.relative_to(self.origin))

    def _compile(self) -> None:
        """Compile the tool's modules once; each job's clone gets a copy, as a machine in use has.

        A module is known by a hash of its source: in a clone all files are new.
        """
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
        subprocess.run([*command, "deploy"], cwd=self.origin, check=True)

    def line(self, job: Job, command: str, variables: Mapping[str, str]) -> Done:
        """Run a line of a workflow in the job's shell, and record it."""
        start = time.monotonic()
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", command],
            cwd=job.workspace,
            env={**job.machine, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - start
        self.done.append(
            Done(
                self.scenario, self.system, job.name, command, done.returncode, seconds, done.stdout
            )
        )
        return self.done[-1]

    def restore(self, key: str, beginning: str, path: Path) -> None:
        """Put the newest cache whose key begins so where it was."""
        found = [kept for name, kept in self.caches.items() if name.startswith(beginning or key)]
        if found:
            shutil.copytree(found[-1], path, dirs_exist_ok=True)

    def keep(self, key: str, path: Path) -> None:
        """Keep a folder as a cache, at a job's end; nothing where there is none."""
        if path.exists():
            self.caches[key] = shutil.copytree(path, self.folder("cache") / "content")

    def rows(self) -> list[dict[str, str]]:
        """Return what was done as rows of a table."""
        return [
            {
                "scenario": one.scenario,
                "system": one.system,
                "job": one.job,
                "command": one.command.replace(".venv/bin/", ""),
                "status": str(one.status),
                "seconds": f"{one.seconds:.1f}",
            }
            for one in self.done
        ]
