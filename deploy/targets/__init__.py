"""The registry of targets: a name in deploy.yaml, and what is behind it.

Three are the project's own. Others are extensions: installed distributions with an entry point in
the group `flow_deploy.targets` (docs/extending.md). Nothing of a target is imported before it is
asked for.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from importlib.metadata import EntryPoint

from deploy import extensions
from deploy.schema import PlaceModel, TargetSettings
from deploy.targets.base import Target

GROUP = "flow_deploy.targets"
OWN = {
    "local": "deploy.targets.local",
    "azureml": "deploy.targets.azureml",
    "appservice": "deploy.targets.appservice",
}
# What an extension must have, as the protocol says.
METHODS = [name for name, has in vars(Target).items() if inspect.isfunction(has) and name[0] != "_"]


def names() -> tuple[str, ...]:
    """Return the names of all targets. Raises `DeployError` where two have the same."""
    return (*OWN, *_extensions())


def get(name: str) -> Target:
    """Return the target `name`, which is one of `names`.

    Raises `DeployError` for an extension that is none.
    """
    if name in OWN:
        return _of_module(OWN[name])
    return _of_extension(_extensions()[name])


def every() -> dict[str, Target]:
    """Return all targets by name. Raises `DeployError` for an extension that is none."""
    return {name: get(name) for name in names()}


def own() -> dict[str, Target]:
    """Return the project's own targets by name."""
    return {name: _of_module(module) for name, module in OWN.items()}


def forget() -> None:
    """Look anew for extensions when they are asked for next: something was installed."""
    extensions.refresh()
    _extensions.cache_clear()


@functools.cache
def _extensions() -> dict[str, EntryPoint]:
    return extensions.points(GROUP, "target", OWN)


def _of_module(module: str) -> Target:
    target: Target = importlib.import_module(module).TARGET
    return target


def _of_extension(point: EntryPoint) -> Target:
    """Load an extension. Raises `DeployError` where that fails, or what it has is no target."""
    target: Target = extensions.load(point)
    lacks = [name for name in METHODS if not callable(getattr(target, name, None))]
    models = {"Settings": TargetSettings, "Place": PlaceModel}
    for name, base in models.items():
        model = getattr(target, name, None)
        if not (isinstance(model, type) and issubclass(model, base)):
            lacks.append(f"{name} (a {base.__name__})")
    if lacks:
        raise extensions.unfit(point, f"this is no target: it lacks {', '.join(lacks)}")
    return target
