"""The registry of kinds of flow, and how the kind of a folder is recognised.

Three are Prompt flow's. Others are extensions: installed distributions with an entry point in the
group `flow_deploy.kinds` (docs/extending-kinds.md).
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint
from pathlib import Path

from deploy import extensions
from deploy.documents import show
from deploy.errors import DeployError
from deploy.kinds.base import Kind
from deploy.kinds.promptflow import DAG, FLEX, PROMPTY

GROUP = "flow_deploy.kinds"
OWN = {kind.name: kind for kind in (DAG, FLEX, PROMPTY)}
RUNTIME = Path(__file__).parents[1] / "runtime"


def get(name: str) -> Kind:
    """Return the kind `name`, as `detect` names it. Raises `DeployError` for one that is gone."""
    found = every().get(name)
    if found is None:
        raise DeployError(name, "there is no such kind of flow", f"there is: {', '.join(every())}")
    return found


@functools.cache
def every() -> dict[str, Kind]:
    """Return all kinds by name, Prompt flow's first.

    Raises `DeployError` for an extension that is none.
    """
    found = extensions.points(GROUP, "kind", OWN)
    return OWN | {name: _of_extension(point) for name, point in found.items()}


def forget() -> None:
    """Look anew for extensions when they are asked for next: something was installed."""
    extensions.refresh()
    every.cache_clear()


def is_flow(folder: Path) -> bool:
    """Whether there is a flow of any kind in `folder`. Raises `DeployError` like `every`."""
    return any(kind.entries(folder) for kind in every().values())


def detect(folder: Path) -> tuple[str, str]:
    """Return the kind of flow in `folder` and the name of its entry file.

    A prompty beside a flow.dag.yaml or flow.flex.yaml belongs to that flow. Raises `DeployError`
    where there is no flow, or no telling which.
    """
    for kind in every().values():
        entries = kind.entries(folder)
        if len(entries) > 1:
            names = ", ".join(entry.name for entry in entries)
            raise DeployError(
                show(folder), f"more than one flow: {names}", "keep one of them in this folder"
            )
        if entries:
            return kind.name, entries[0].name
    wanted = ", ".join(kind.description for kind in every().values())
    raise DeployError(
        show(folder), "there is no flow in this folder", f"a flow has one of: {wanted}"
    )


def _of_extension(point: EntryPoint) -> Kind:
    kind = extensions.load(point)
    if not isinstance(kind, Kind):
        raise extensions.unfit(point, f"this is no kind of flow but a {type(kind).__name__}")
    if kind.name != point.name:
        what = f"its kind calls itself {kind.name}, and its entry point {point.name}"
        raise extensions.unfit(point, what)
    package = kind.scorer.partition(".")[0]
    if kind.code is None or not kind.code.is_dir() or kind.code.name != package:
        what = f"its scorer {kind.scorer} is not in its code, a folder that is called {package}"
        raise extensions.unfit(point, what)
    if (RUNTIME / package).exists() or (RUNTIME / f"{package}.py").exists():
        what = f"its folder {package} has the name of a part of the server"
        raise extensions.unfit(point, what)
    return kind
