"""Extensions: entry points of installed distributions in groups of the tool (docs/extending.md)."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from deploy.core.errors import DeployError


def find_entry_points(group: str, noun: str, own: Collection[str]) -> dict[str, EntryPoint]:
    """Return the entry points of `group` by name, without importing them.

    `noun` names the members of the group in errors. Raises `DeployError` if two entry points have
    the same name, or one has a name in `own`.
    """
    points: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=describe_entry_point):
        if point.name in own:
            message = f"its {noun} {point.name} has the same name as a built-in one"
            raise DeployError(
                describe_entry_point(point), message, "rename its entry point, or uninstall it"
            )
        if point.name in points:
            message = f"its {noun} {point.name} is also in {_distribution_name(points[point.name])}"
            raise DeployError(describe_entry_point(point), message, "uninstall one of the two")
        points[point.name] = point
    return points


def load_entry_point(point: EntryPoint) -> Any:
    """Return the object that `point` names. Raises `DeployError` if it cannot be loaded."""
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        message = f"it cannot be loaded: {type(error).__name__}: {error}"
        raise DeployError(describe_entry_point(point), message, _uninstall_hint(point)) from None


def invalid_extension(point: EntryPoint, message: str) -> DeployError:
    """Return the error for an extension whose object is not of the type that its group holds."""
    return DeployError(describe_entry_point(point), message, _uninstall_hint(point))


def invalidate_caches() -> None:
    """Make newly installed distributions visible. Clients clear their own caches."""
    importlib.invalidate_caches()


def describe_entry_point(point: EntryPoint) -> str:
    """Return a description of the entry point for messages."""
    return f"extension {_distribution_name(point)}, entry point {point.name} = {point.value}"


def _uninstall_hint(point: EntryPoint) -> str:
    return f"correct it, or uninstall it: `uv pip uninstall {_distribution_name(point)}`"


def _distribution_name(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"
