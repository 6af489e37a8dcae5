"""The environments in environments.yaml: their purpose and their configured targets."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.advise.options import list_azure_options
from deploy.core import yaml_files
from deploy.core.errors import DeployError, suggest_nearest
from deploy.core.yaml_files import display_path

ENVIRONMENTS = "environments.yaml"
# An environment with any of these keys, or the key of an option in Azure, is in Azure.
AZURE_KEYS = {"subscription", "resource_group", "infra"}
# Names of trial environments. All others count as production.
TRIAL_NAME_PATTERN = re.compile(r"(dev|test|ci|demo|sandbox)($|[^a-z])")


@dataclass(frozen=True)
class Environment:
    """An environment in environments.yaml."""

    name: str
    # The keys that environments.yaml has for it.
    keys: frozenset[str]

    @property
    def is_local(self) -> bool:
        """Return whether the environment is a local Docker engine, without anything in Azure."""
        return not self.keys & AZURE_KEYS and not self._configured_targets

    @property
    def is_trial(self) -> bool:
        """Return whether it is for trials: dev, test, ci, demo or sandbox, also with a suffix."""
        return bool(TRIAL_NAME_PATTERN.match(self.name))

    @property
    def configured_target(self) -> str | None:
        """Return the only target that is configured; None for none or several."""
        targets = self._configured_targets
        return targets[0] if len(targets) == 1 else None

    @functools.cached_property
    def _configured_targets(self) -> list[str]:
        return [
            option.name for option in list_azure_options() if option.environment_key in self.keys
        ]


def read_environments(root: Path, selection: str = "") -> tuple[Environment, ...]:
    """Return all environments, or those in `selection`: names, separated by commas.

    Raise `DeployError` if environments.yaml cannot be read, or does not have one of the names.
    """
    document = yaml_files.load(root / ENVIRONMENTS)
    if not document.data:
        raise DeployError(
            display_path(document.path),
            "it has no environments",
            "docs/configuration.md",
        )
    names = list(dict.fromkeys(filter(None, (name.strip() for name in selection.split(",")))))
    for name in names:
        if name not in document.data:
            what = f"{ENVIRONMENTS} has no such environment"
            raise DeployError(f"--env {name}", what, suggest_nearest(name, document.data))
    return tuple(Environment(name, _keys(document, name)) for name in names or document.data)


def _keys(document: yaml_files.Document, name: str) -> frozenset[str]:
    entry: Any = document.data[name] or {}
    if not isinstance(entry, dict):
        raise DeployError(document.where((name,)), "a mapping is expected")
    return frozenset(entry)


def check_flow(root: Path, flow: str | None, required: bool) -> None:
    """Raise `DeployError` if the flow does not exist, or if it is `required` and None."""
    if flow is None:
        if required:
            raise DeployError("--adr", "a decision record is for one flow", "add --flow")
        return
    folders = sorted(path.name for path in (root / "flows").glob("*") if path.is_dir())
    if flow not in folders:
        hint = suggest_nearest(flow, folders) or "omit --flow for a flow that does not exist yet"
        raise DeployError("--flow", f"there is no flow {flow!r} under flows/", hint)
