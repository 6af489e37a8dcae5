"""A copy of a checkout whose environments are in an emulated Azure, and `inv` in that copy.

    with Sandbox(root) as sandbox:
        sandbox.inv("deploy", "--env", "dev")

Only the copy's environments.yaml and environment variables select the emulated Azure; the code is
unchanged.
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

from deploy.config import configuration, env_file
from deploy.config.target import AnySpec
from deploy.sandbox import azure as emulator
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import Identity
from deploy.sandbox.provisioning import Provisioner

# Set by azure-ai-ml in the environment of any process that uses it.
AZUREML_VARIABLE = "AZUREML_CURRENT_CLOUD"
# For each step of a rollout, instead of minutes.
SOAK_SECONDS = 1
# Removed: containers here use the identities of the emulated service, not those of infrastructure.
IDENTITY_SETTINGS = ("identity", "slot_identity")
# Removed: only what flows run on is emulated, so `inv infra.check` and `inv drift` would report the
# rest as missing.
INFRA_SETTING = "infra"
IGNORED_FILES = shutil.ignore_patterns(".git", ".venv", ".build", ".env", "__pycache__", ".*_cache")


class Sandbox:
    """An emulated Azure, and the copy `root` of a checkout that deploys to it."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Sandbox:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
            self.azure = stack.enter_context(Azure(folder / "azure"))
            # Keep the folder's name, which is part of containers' names.
            self.root = folder / self._checkout.name
            shutil.copytree(self._checkout, self.root, ignore=IGNORED_FILES, symlinks=True)
            self._infrastructure = Provisioner(self.azure)
            self._here = self._redirect_environments()
            self._shorten_soak()
            self._provision_sites()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a process that works in the sandbox."""
        inherited = {
            k: v
            for k, v in os.environ.items()
            if k not in (*emulator.CONFLICTING_VARIABLES, AZUREML_VARIABLE)
        }
        values = env_file.read_env_file(self._checkout / ".env")
        return {**values, **inherited, **self.azure.environment(self.developer)}

    @property
    def developer(self) -> Identity:
        """The identity that deploys."""
        return self._infrastructure.developer

    def inv(self, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a task in the copy; `how` is passed to `subprocess.run`."""
        command = [sys.executable, "-m", "invoke", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, text=True, check=False, **how
        )

    def specs(self, environment: str | None = None, flow: str | None = None) -> list[AnySpec]:
        """Return the specs deployed to Azure, in the order of environments.yaml."""
        project = configuration.Project(self.root, self.environment)
        if environment:
            return configuration.load_specs(project, environment, flow)
        flows = configuration.load_flows(project, flow)
        return [
            configuration.load_spec(project, declared_flow.name, name)
            for name in self._here
            for declared_flow in flows
            if name in declared_flow.environments
        ]

    def edit_flow(self, flow: str) -> None:
        """Change a flow's content, as a developer's edit would."""
        with (self.root / "flows" / flow / "sandbox.txt").open("a", encoding="utf-8") as file:
            file.write("one more line\n")

    def get_scoring_access(self, spec: AnySpec) -> tuple[str, dict[str, str]]:
        """Return the scoring URL of a deployed flow, and the headers that authenticate a client."""
        return self._infrastructure.get_scoring_access(spec)

    def _redirect_environments(self) -> tuple[str, ...]:
        """Point the environments in Azure to the emulated one; return their names."""
        path = self.root / configuration.ENVIRONMENTS_FILE
        yaml = YAML()
        places = yaml.load(path)
        redirected = {
            name: place for name, place in places.items() if place and "registry" in place
        }
        for place in redirected.values():
            place.update(self._infrastructure.provision_environment(place))
            for key in (*IDENTITY_SETTINGS, INFRA_SETTING):
                place.pop(key, None)
        yaml.dump(places, path)
        return tuple(redirected)

    def _provision_sites(self) -> None:
        """Create the sites that flows are deployed to, as infrastructure would have."""
        for spec in self.specs():
            if spec.target == "appservice":
                self._infrastructure.provision_site(spec)

    def _shorten_soak(self) -> None:
        """Shorten the soak time of each step of a rollout."""
        yaml = YAML()
        for path in self.root.glob(f"flows/*/{configuration.DEPLOY_FILE}"):
            declared = yaml.load(path)
            for settings in declared.get("environments", {}).values():
                if settings.get("target") == "azureml":
                    settings["soak"] = SOAK_SECONDS
            yaml.dump(declared, path)
