"""Somebody else was here between a look and a write."""

from __future__ import annotations

from deploy.errors import DeployError


class ChangedError(DeployError):
    """The world is not as it was when the plan was made. Nothing is taken back: it is not ours."""


def changed(where: str) -> ChangedError:
    """Return the error that says so."""
    what = "somebody else changed it meanwhile"
    return ChangedError(where, what, "`inv plan` shows what is there; then deploy again")
