"""What other distributions add: entry points in a group of this project's (docs/extending.md)."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from deploy.errors import DeployError


def points(group: str, noun: str, own: Collection[str]) -> dict[str, EntryPoint]:
    """Return the entry points of `group` by name: metadata only, nothing is imported.

    Raises `DeployError` where two have the same name, or one has a name in `own`; `noun` is what
    the group holds, in the words of that error.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=where):
        if point.name in own:
            what = f"its {noun} {point.name} has the name of one of this project's own"
            raise DeployError(where(point), what, "rename its entry point, or uninstall it")
        if point.name in found:
            what = f"its {noun} {point.name} is in {_distribution(found[point.name])} as well"
            raise DeployError(where(point), what, "uninstall one of the two")
        found[point.name] = point
    return found


def load(point: EntryPoint) -> Any:
    """Return what `point` names. Raises `DeployError` where it cannot be loaded."""
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        what = f"it cannot be loaded: {type(error).__name__}: {error}"
        raise DeployError(where(point), what, _hint(point)) from None


def unfit(point: EntryPoint, what: str) -> DeployError:
    """Return the error that what was loaded is not what its group holds."""
    return DeployError(where(point), what, _hint(point))


def refresh() -> None:
    """See what was installed since; callers drop what they remember."""
    importlib.invalidate_caches()


def where(point: EntryPoint) -> str:
    """Return the entry point in words, for messages."""
    return f"extension {_distribution(point)}, entry point {point.name} = {point.value}"


def _hint(point: EntryPoint) -> str:
    return f"correct it, or uninstall it: `uv pip uninstall {_distribution(point)}`"


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"
