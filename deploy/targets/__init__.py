"""The registry of targets: a name in deploy.yaml, and what is behind it.

Three are the project's own. Others are extensions: installed distributions with an entry point in
the group `flow_deploy.targets` (docs/extending.md). Nothing of a target is imported before it is
asked for.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from importlib.metadata import EntryPoint, entry_points

from deploy.errors import DeployError
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
    importlib.invalidate_caches()
    _extensions.cache_clear()


@functools.cache
def _extensions() -> dict[str, EntryPoint]:
    """Return the entry points of extensions by the names of their targets.

    Metadata only. Raises `DeployError` where two targets have the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=_where):
        if point.name in OWN:
            what = f"its target {point.name} has the name of one of this project's own"
            raise DeployError(_where(point), what, "rename its entry point, or uninstall it")
        if point.name in found:
            what = f"its target {point.name} is in {_distribution(found[point.name])} as well"
            raise DeployError(_where(point), what, "uninstall one of the two")
        found[point.name] = point
    return found


def _of_module(module: str) -> Target:
    target: Target = importlib.import_module(module).TARGET
    return target


def _of_extension(point: EntryPoint) -> Target:
    """Load an extension. Raises `DeployError` where that fails, or what it has is no target."""
    hint = f"correct it, or uninstall it: `uv pip uninstall {_distribution(point)}`"
    try:
        target: Target = point.load()
    except (Exception, SystemExit) as error:
        what = f"it cannot be loaded: {type(error).__name__}: {error}"
        raise DeployError(_where(point), what, hint) from None
    lacks = [name for name in METHODS if not callable(getattr(target, name, None))]
    models = {"Settings": TargetSettings, "Place": PlaceModel}
    for name, base in models.items():
        model = getattr(target, name, None)
        if not (isinstance(model, type) and issubclass(model, base)):
            lacks.append(f"{name} (a {base.__name__})")
    if lacks:
        raise DeployError(_where(point), f"this is no target: it lacks {', '.join(lacks)}", hint)
    return target


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


def _where(point: EntryPoint) -> str:
    return f"extension {_distribution(point)}, entry point {point.name} = {point.value}"
