"""The environments, as environments.yaml names them: what each is for, and what is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import documents
from deploy.advice.facts import APPSERVICE, AZUREML, CONTAINERAPPS
from deploy.documents import show
from deploy.errors import DeployError, nearest

ENVIRONMENTS = "environments.yaml"
# A key that makes an environment one in Azure.
AZURE = {"subscription", "resource_group", "infra", "workspace", "app", "managed_environment"}
# A key that says where flows of a target run.
PLACES = {"workspace": AZUREML, "app": APPSERVICE, "managed_environment": CONTAINERAPPS}
# Environments to try things in. Any other is taken for one that somebody relies on.
TRIAL = re.compile(r"(dev|test|ci|demo|sandbox)($|[^a-z])")


@dataclass(frozen=True)
class Environment:
    """`has` are the keys that environments.yaml has for it."""

    name: str
    has: frozenset[str]

    @property
    def local(self) -> bool:
        """Whether it is an engine, and nothing in Azure."""
        return not self.has & AZURE

    @property
    def trial(self) -> bool:
        """Whether things are tried there: dev, test, ci, demo, sandbox, with a suffix or not."""
        return bool(TRIAL.match(self.name))

    @property
    def place(self) -> str | None:
        """The target that it has a place for, None for none or several."""
        found = [target for key, target in PLACES.items() if key in self.has]
        return found[0] if len(found) == 1 else None


def read(root: Path, only: str = "") -> tuple[Environment, ...]:
    """Return all environments, or those of `only`: names, separated by commas.

    Raises `DeployError` for a name that environments.yaml does not have, or a file that cannot be
    read.
    """
    document = documents.load(root / ENVIRONMENTS)
    if not document.data:
        raise DeployError(show(document.path), "it names no environment", "docs/configuration.md")
    names = list(dict.fromkeys(filter(None, (name.strip() for name in only.split(",")))))
    for name in names:
        if name not in document.data:
            what = f"{ENVIRONMENTS} has no such environment"
            raise DeployError(f"--env {name}", what, nearest(name, document.data))
    return tuple(Environment(name, _keys(document, name)) for name in names or document.data)


def _keys(document: documents.Document, name: str) -> frozenset[str]:
    entry: Any = document.data[name] or {}
    if not isinstance(entry, dict):
        raise DeployError(document.where((name,)), "a mapping is expected")
    return frozenset(entry)


def check_flow(root: Path, flow: str | None, needed: bool) -> None:
    """Raise `DeployError` where there is no such flow, or none is named and one is `needed`."""
    if flow is None:
        if needed:
            raise DeployError("--adr", "a record is about one flow", "add --flow")
        return
    folders = sorted(path.name for path in (root / "flows").glob("*") if path.is_dir())
    if flow not in folders:
        hint = nearest(flow, folders) or "leave --flow out for one that is not written yet"
        raise DeployError("--flow", f"there is no flow {flow!r} under flows/", hint)
