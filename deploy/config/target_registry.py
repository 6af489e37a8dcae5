"""The registry of targets: their names in deploy.yaml, and the modules that implement them.

Three targets are built in. Others are extensions: installed distributions with an entry point in
the group `flow_deploy.targets` (docs/extending.md). A target is imported when it is first used.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from deploy.core import extensions

if TYPE_CHECKING:
    from deploy.config.target import Target

ENTRY_POINT_GROUP = "flow_deploy.targets"
BUILT_IN = {
    "local": "deploy.targets.local",
    "azureml": "deploy.targets.azureml",
    "appservice": "deploy.targets.appservice",
}


def target_names() -> tuple[str, ...]:
    """Return the names of all targets. Raises `DeployError` if two have the same name."""
    return (*BUILT_IN, *_extensions())


def target_modules() -> dict[str, str]:
    """Return the name of each target's module, without importing it."""
    return {**BUILT_IN, **{name: point.module for name, point in _extensions().items()}}


def get(name: str) -> Target:
    """Return the target `name`, which is one of `target_names`.

    Raises `DeployError` for an extension that is not a valid target.
    """
    if name in BUILT_IN:
        return _load_module(BUILT_IN[name])
    return _load_extension(_extensions()[name])


def all_targets() -> dict[str, Target]:
    """Return all targets by name.

    Raises `DeployError` for an extension that is not a valid target.
    """
    return {name: get(name) for name in target_names()}


def built_in_targets() -> dict[str, Target]:
    """Return the built-in targets by name."""
    return {name: _load_module(module) for name, module in BUILT_IN.items()}


def clear_cache() -> None:
    """Search for extensions again at the next use, because a package was installed."""
    extensions.invalidate_caches()
    _extensions.cache_clear()


@functools.cache
def _extensions() -> dict[str, EntryPoint]:
    return extensions.find_entry_points(ENTRY_POINT_GROUP, "target", BUILT_IN)


def _load_module(module: str) -> Target:
    target: Target = importlib.import_module(module).TARGET
    return target


def _load_extension(point: EntryPoint) -> Target:
    """Return the target of an extension.

    Raises `DeployError` if it cannot be loaded, or is not a valid target.
    """
    # Imported here: with pydantic, they take longer to import than all else in this module.
    from deploy.config.schema import PlaceModel, TargetSettings
    from deploy.config.target import Target

    target: Target = extensions.load_entry_point(point)
    if isinstance(target, type):
        message = f"{target.__name__} is a class, and an instance of it is expected"
        raise extensions.invalid_extension(point, message)
    methods = [name for name, has in vars(Target).items() if inspect.isfunction(has)]
    missing = [
        name for name in methods if name[0] != "_" and not callable(getattr(target, name, None))
    ]
    models = {"Settings": TargetSettings, "Place": PlaceModel}
    for name, base in models.items():
        model = getattr(target, name, None)
        if not (isinstance(model, type) and issubclass(model, base)):
            missing.append(f"{name} (a {base.__name__})")
    if missing:
        raise extensions.invalid_extension(
            point, f"this is not a target: it lacks {', '.join(missing)}"
        )
    return target
