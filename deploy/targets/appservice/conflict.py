"""The error for a concurrent change between a read and a write."""

from __future__ import annotations

from deploy.core.errors import DeployError


class ConflictError(DeployError):
    """The observed state changed after the plan was made.

    Nothing is rolled back, because the changes are not this rollout's.
    """


def conflict_error(location: str) -> ConflictError:
    """Return the `ConflictError` for the resource that `location` names."""
    message = "somebody else changed it meanwhile"
    return ConflictError(location, message, "`inv plan` shows what is there; then deploy again")
