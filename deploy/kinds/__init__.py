"""The registry of the kinds of flow, and the detection of a folder's kind.

Three kinds are Prompt flow's. Others are extensions: installed distributions with an entry point in
the group `flow_deploy.kinds` (docs/extending-kinds.md).
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint
from pathlib import Path

from deploy.core import extensions
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path
from deploy.kinds.base import Kind
from deploy.kinds.promptflow import DAG, FLEX, PROMPTY

ENTRY_POINT_GROUP = "flow_deploy.kinds"
BUILT_IN = {kind.name: kind for kind in (DAG, FLEX, PROMPTY)}
SERVER_FOLDER = Path(__file__).parents[1] / "server"


def get(name: str) -> Kind:
    """Return the kind `name`, as `detect_kind` names it.

    Raises `DeployError` if the kind does not exist, for example because its extension is
    uninstalled.
    """
    kind = all_kinds().get(name)
    if kind is None:
        raise DeployError(
            name, "there is no such kind of flow", f"there is: {', '.join(all_kinds())}"
        )
    return kind


@functools.cache
def all_kinds() -> dict[str, Kind]:
    """Return all kinds by name, Prompt flow's first.

    Raises `DeployError` for an extension that is not a valid kind.
    """
    points = extensions.find_entry_points(ENTRY_POINT_GROUP, "kind", BUILT_IN)
    return BUILT_IN | {name: _load_extension(point) for name, point in points.items()}


def clear_cache() -> None:
    """Search for extensions again at the next use, because a package was installed."""
    extensions.invalidate_caches()
    all_kinds.cache_clear()


def is_flow(folder: Path) -> bool:
    """Return whether `folder` holds a flow of any kind. Raises `DeployError` like `all_kinds`."""
    return any(kind.entries(folder) for kind in all_kinds().values())


def detect_kind(folder: Path) -> tuple[str, str]:
    """Return the kind of the flow in `folder`, and the name of its entry file.

    A prompty beside a flow.dag.yaml or flow.flex.yaml belongs to that flow. Raises `DeployError` if
    there is no flow, or if there is more than one.
    """
    for kind in all_kinds().values():
        entries = kind.entries(folder)
        if len(entries) > 1:
            names = ", ".join(entry.name for entry in entries)
            raise DeployError(
                display_path(folder),
                f"more than one flow: {names}",
                "keep one of them in this folder",
            )
        if entries:
            return kind.name, entries[0].name
    descriptions = ", ".join(kind.description for kind in all_kinds().values())
    raise DeployError(
        display_path(folder),
        "there is no flow in this folder",
        f"a flow has one of: {descriptions}",
    )


def _load_extension(point: EntryPoint) -> Kind:
    """Return the kind that `point` names. Raises `DeployError` if it is not a valid kind."""
    kind = extensions.load_entry_point(point)
    if not isinstance(kind, Kind):
        raise extensions.invalid_extension(
            point, f"this is not a kind of flow but a {type(kind).__name__}"
        )
    if kind.name != point.name:
        message = f"its kind calls itself {kind.name}, and its entry point {point.name}"
        raise extensions.invalid_extension(point, message)
    package = kind.scorer.partition(".")[0]
    if kind.code is None or not kind.code.is_dir() or kind.code.name != package:
        message = f"its scorer {kind.scorer} is not in its code, a folder that is called {package}"
        raise extensions.invalid_extension(point, message)
    if (SERVER_FOLDER / package).exists() or (SERVER_FOLDER / f"{package}.py").exists():
        message = f"its folder {package} has the name of a part of the server"
        raise extensions.invalid_extension(point, message)
    return kind
