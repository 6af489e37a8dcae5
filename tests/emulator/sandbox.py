"""A copy of a checkout whose environments lead to an emulated Azure; and `inv` in it.

    with Sandbox(root) as sandbox:
        sandbox.inv("deploy", "--env", "dev")

What Azure it is stands in the copy's environments.yaml and in variables; the code is as it was.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy import config
from tests.emulator import azure as emulator
from tests.emulator.acr import Acr
from tests.emulator.arm import GROUP
from tests.emulator.azure import Azure
from tests.emulator.identities import ACR_PUSH, CONTRIBUTOR, DATA_SCIENTIST, READER
from tests.emulator.ml.front import AUDIENCE as SCORING_AUDIENCE

# What azure-ai-ml leaves in the environment of the process that it was used in.
LEFT = "AZUREML_CURRENT_CLOUD"
# In place of minutes.
SOAK_SECONDS = 1
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
            self._identity = self.azure.identity("developer", group=[CONTRIBUTOR])
            self._identity.give("subscription", READER)
            self._lead_environments_here()
            self._hurry()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that works here."""
        own = {k: v for k, v in os.environ.items() if k not in (*emulator.FOREIGN_VARIABLES, LEFT)}
        values = config.env_file(self._checkout / ".env")
        return {**values, **own, **self.azure.environment(self._identity)}

    def inv(self, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a task; `how` goes to `subprocess.run`."""
        command = [sys.executable, "-m", "invoke", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, text=True, check=False, **how
        )

    def change(self, flow: str) -> None:
        """Change a flow's content, as an edit would."""
        with (self.root / "flows" / flow / "sandbox.txt").open("a", encoding="utf-8") as file:
            file.write("one more line\n")

    def access(self, workspace: str, endpoint: str) -> tuple[str, dict[str, str]]:
        """Return where an endpoint is scored, and the headers with which a caller is let in."""
        found = self.azure.find_workspace(workspace).endpoint(endpoint)
        key = found.keys[0]
        if found.auth_mode != "Key":
            key = self.azure.directory.issue(self._identity, SCORING_AUDIENCE)
        return found.url, {"Authorization": f"Bearer {key}"}

    def _lead_environments_here(self) -> None:
        path = self.root / config.ENVIRONMENTS
        yaml = YAML()
        places = yaml.load(path)
        for place in places.values():
            if place and "registry" in place:
                place.update(self._place(place))
        yaml.dump(places, path)

    def _place(self, place: Any) -> dict[str, Any]:
        """Return what leads an environment here; its registry and workspace keep their names."""
        server, _, folder = str(place["registry"]).partition("/")
        registry = self._registry(server.partition(".")[0])
        changes = self.azure.place(registry, folder)
        if "resource_group" in place:
            changes["resource_group"] = GROUP
        if "workspace" in place:
            workspace = self.azure.workspace(str(place["workspace"]), registry)
            self._identity.give(workspace.name, DATA_SCIENTIST)
        return changes

    def _registry(self, name: str) -> Acr:
        # A name may be a variable still, as ${ACR_NAME}.
        registry = self.azure.registry(re.sub(r"[^a-z0-9]", "", name.lower()))
        self._identity.give(registry.name, ACR_PUSH, READER)
        return registry

    def _hurry(self) -> None:
        """Watch each step of a rollout for a moment only."""
        yaml = YAML()
        for path in self.root.glob(f"flows/*/{config.DEPLOY}"):
            declared = yaml.load(path)
            for settings in declared.get("environments", {}).values():
                if settings.get("target") == "azureml":
                    settings["soak"] = SOAK_SECONDS
            yaml.dump(declared, path)
