"""The extensions that a team installed (extensions.txt): the tool's tests do not see them."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from deploy import kinds
from deploy.config import target_registry
from deploy.core import extensions

GROUPS = (target_registry.ENTRY_POINT_GROUP, kinds.ENTRY_POINT_GROUP)
INSTALLED = frozenset(point for group in GROUPS for point in entry_points(group=group))


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the extensions of this machine until the test ends; those that it installs are found."""
    monkeypatch.setattr(
        extensions,
        "entry_points",
        lambda group: [point for point in entry_points(group=group) if point not in INSTALLED],
    )
    target_registry.clear_cache()
    kinds.clear_cache()
