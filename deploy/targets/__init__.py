"""The registry of targets: a name in deploy.yaml, and the module behind it."""

from __future__ import annotations

import importlib

from deploy.targets.base import Target

# A further target is one line here. Modules are imported when they are asked for.
MODULES = {
    "local": "deploy.targets.local",
    "azureml": "deploy.targets.azureml",
    "appservice": "deploy.targets.appservice",
}


def get(name: str) -> Target:
    """Return the target `name`. Raises `KeyError` for a name that is not in `MODULES`."""
    target: Target = importlib.import_module(MODULES[name]).TARGET
    return target


def every() -> dict[str, Target]:
    """Return all targets by name."""
    return {name: get(name) for name in MODULES}
