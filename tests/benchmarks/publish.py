"""Measure publishing after a first push: `python -m tests.benchmarks.publish`.

Whole `inv` commands, in processes of their own, against an emulated Azure on this machine: its
network costs nothing, so times are those of the work, and bytes tell what a real network adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker

from deploy.docker import engine
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import CONFLICTING_VARIABLES, Azure
from deploy.sandbox.identities import ACR_PUSH, IMPORTER, READER
from tests.benchmarks import images, table
from tests.benchmarks.own_image import ROOT, copy_of_project
from tests.benchmarks.parts import MB, change
from tests.benchmarks.pf_base import say
from tests.benchmarks.results import Figure, Results

FLOW = "faq"
FIRST = "first push"
COPIED, IMPORTED = "promote, by hand", "promote, by Azure"
SECONDS = Figure("publish", FLOW, "s")
SHARE = Figure("publish", FLOW, "  of a first push")
SENT = Figure("publish", FLOW, "sent, MB")


class Team:
    """A copy of the project whose environments have registries; `inv` is run in it."""

    def __init__(self, folder: Path, azure: Azure, run: str) -> None:
        self._azure = azure
        self._root = copy_of_project(folder)
        for name in ("deploy", "tasks.py", "pyproject.toml"):
            (folder / name).symlink_to(ROOT / name)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        # Unique: the pushed image must be built here.
        self._declare("# " + run)
        me = azure.identity("ci")
        for name in ("crdev", "crprod", "crother"):
            me.assign_roles(name, ACR_PUSH, READER, IMPORTER)
        self._variables = {**os.environ, **azure.environment(me)}
        for name in CONFLICTING_VARIABLES:
            self._variables.pop(name, None)

    def places(self, number: int) -> tuple[Acr, Acr, Acr]:
        """Let the environments have empty registries; return those."""
        dev, prod, other = (
            self._azure.registry(f"{name}{number}") for name in ("crdev", "crprod", "crother")
        )
        me = self._azure.directory.find(self._variables["AZURE_CLIENT_ID"])
        for acr in (dev, prod, other):
            if me:
                me.assign_roles(acr.name, ACR_PUSH, READER, IMPORTER)
        by_hand: dict[str, Any] = {**self._azure.place(other), "subscription": None}
        places = {"dev": self._azure.place(dev), "prod": self._azure.place(prod), "other": by_hand}
        text = json.dumps({"local": {}, **places})
        (self._root / "environments.yaml").write_text(text, encoding="utf-8")
        return dev, prod, other

    def change(self, number: int) -> None:
        """Add a line to the flow's code."""
        change(self._root / "flows" / FLOW, number)

    def inv(self, *arguments: str) -> float:
        """Run `inv`; return how many seconds it took. Raises `RuntimeError` where it fails."""
        start = time.monotonic()
        program = str(Path(sys.executable).with_name("inv"))
        done = subprocess.run(
            [program, *arguments],
            cwd=self._root,
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"inv {' '.join(arguments)}: {done.stderr}")
        return time.monotonic() - start

    def _declare(self, line: str) -> None:
        declared = self._root / "flows" / FLOW / "deploy.yaml"
        text = "sample: sample.json\nenvironments:\n"
        for name in ("local", "dev", "prod", "other"):
            text += f"  {name}: {{target: local}}\n"
        declared.write_text(text, encoding="utf-8")
        with (self._root / "flows" / FLOW / "search.py").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def measure(client: docker.DockerClient, repeat: int) -> Results:
    """Return the figures; each of `repeat` rounds has registries of its own."""
    results = Results()
    run = uuid.uuid4().hex[:8]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        with Azure(folder / "azure") as azure:
            team = Team(folder / "project", azure, run)
            for number in range(1, repeat + 1):
                say(f"publish: {number} of {repeat}")
                _round(results, team, number)
    images.remove(client, run)
    return results


def _round(results: Results, team: Team, number: int) -> None:
    dev, prod, other = team.places(number)
    # Built before: a push of what is not is a build, and is measured there.
    team.inv("build", "--flow", FLOW)
    first = _one(results, FIRST, team, dev, 0.0, "push", "--flow", FLOW, "--env", "dev")
    _one(results, "nothing to do", team, dev, first, "push", "--flow", FLOW, "--env", "dev")
    file = f".artifacts/{FLOW}.json"
    move = ("promote", "--from", "dev", "--image", file)
    _one(results, IMPORTED, team, prod, first, *move, "--to", "prod")
    _one(results, COPIED, team, other, first, *move, "--to", "other")
    team.change(number)
    team.inv("build", "--flow", FLOW)
    _one(results, "a changed line", team, dev, first, "push", "--flow", FLOW, "--env", "dev")


def _one(results: Results, name: str, team: Team, acr: Acr, first: float, *arguments: str) -> float:
    acr.server.reset()
    seconds = team.inv(*arguments)
    results.add(SECONDS, name, seconds)
    results.add(SHARE, name, seconds / first if first else 1.0)
    results.add(SENT, name, acr.uploaded_bytes / MB)
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(description="Publishing beside a first push.")
    parser.add_argument("--repeat", type=int, default=3, help="how often; 3 without it")
    chosen = parser.parse_args(arguments)
    print(table.text(measure(engine.connect(), chosen.repeat)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
