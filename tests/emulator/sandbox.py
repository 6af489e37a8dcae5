"""A copy of a checkout whose environments lead to an emulated Azure; and `inv` in it.

    with Sandbox(root) as sandbox:
        sandbox.inv("deploy", "--env", "dev")

What Azure it is stands in the copy's environments.yaml and in variables; the code is as it was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy import config
from deploy.model import Spec
from tests.emulator import azure as emulator
from tests.emulator.azure import Azure
from tests.emulator.identities import Identity
from tests.emulator.infrastructure import Infrastructure

# What azure-ai-ml leaves in the environment of the process that it was used in.
LEFT = "AZUREML_CURRENT_CLOUD"
# In place of minutes.
SOAK_SECONDS = 1
# What runs here acts as identities that the service gives it, whatever infrastructure assigns.
ASSIGNED = ("identity", "slot_identity")
# Only what flows run on is emulated: `inv infra.check` and `inv drift` would miss the rest.
INFRA = "infra"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".build", ".env", "__pycache__", ".*_cache")


class Sandbox:
    """An emulated Azure, and the checkout's copy `root` that deploys to it."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Sandbox:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
            self.azure = stack.enter_context(Azure(folder / "azure"))
            # Its name is part of containers' names.
            self.root = folder / self._checkout.name
            shutil.copytree(self._checkout, self.root, ignore=LEFT_OUT, symlinks=True)
            self._infrastructure = Infrastructure(self.azure)
            self._here = self._lead_environments_here()
            self._hurry()
            self._make_sites()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that works here."""
        own = {k: v for k, v in os.environ.items() if k not in (*emulator.FOREIGN_VARIABLES, LEFT)}
        values = config.env_file(self._checkout / ".env")
        return {**values, **own, **self.azure.environment(self.developer)}

    @property
    def developer(self) -> Identity:
        """Who works here."""
        return self._infrastructure.developer

    def inv(self, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a task; `how` goes to `subprocess.run`."""
        command = [sys.executable, "-m", "invoke", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, text=True, check=False, **how
        )

    def specs(self, environment: str | None = None, flow: str | None = None) -> list[Spec]:
        """Return what is deployed to Azure, in the order of environments.yaml."""
        project = config.Project(self.root, self.environment)
        if environment:
            return config.load_specs(project, environment, flow)
        flows = config.load_flows(project, flow)
        return [
            config.load_spec(project, one.name, name)
            for name in self._here
            for one in flows
            if name in one.environments
        ]

    def change(self, flow: str) -> None:
        """Change a flow's content, as an edit would."""
        with (self.root / "flows" / flow / "sandbox.txt").open("a", encoding="utf-8") as file:
            file.write("one more line\n")

    def access(self, spec: Spec) -> tuple[str, dict[str, str]]:
        """Return where a deployed flow is scored, and the headers with which a caller is let in."""
        return self._infrastructure.access(spec)

    def _lead_environments_here(self) -> tuple[str, ...]:
        """Let environments in Azure be here; return their names."""
        path = self.root / config.ENVIRONMENTS
        yaml = YAML()
        places = yaml.load(path)
        here = {name: place for name, place in places.items() if place and "registry" in place}
        for place in here.values():
            place.update(self._infrastructure.place(place))
            for assigned in (*ASSIGNED, INFRA):
                place.pop(assigned, None)
        yaml.dump(places, path)
        return tuple(here)

    def _make_sites(self) -> None:
        """Make the sites that flows are deployed to, as infrastructure would have."""
        for spec in self.specs():
            if spec.target == "appservice":
                self._infrastructure.site(spec)

    def _hurry(self) -> None:
        """Watch each step of a rollout for a moment only."""
        yaml = YAML()
        for path in self.root.glob(f"flows/*/{config.DEPLOY}"):
            declared = yaml.load(path)
            for settings in declared.get("environments", {}).values():
                if settings.get("target") == "azureml":
                    settings["soak"] = SOAK_SECONDS
            yaml.dump(declared, path)
