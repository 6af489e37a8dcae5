"""What Resource Manager refuses, and how it says so.

Documented: Azure Resource Manager, "Common deployment errors" (shape), "Troubleshoot Azure RBAC".
"""

from __future__ import annotations

from typing import Any

from tests.emulator.identities import Identity


class RefusedError(Exception):
    """An error of Resource Manager: its status, its code, its message, and what else it says."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self._more = more

    @property
    def content(self) -> dict[str, Any]:
        """The body that says so."""
        return {"error": {"code": self.code, "message": str(self), **self._more}}


def unauthorized(who: Identity, action: str, scope: str) -> RefusedError:
    """Return the refusal of an identity without a right (documented: "Troubleshoot Azure RBAC")."""
    text = (
        f"The client '{who.client_id}' with object id '{who.object_id}' does not have authorization "
        f"to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was "
        "recently granted, please refresh your credentials."
    )
    return RefusedError(403, "AuthorizationFailed", text)


def not_found(kind: str, name: str, group: str) -> RefusedError:
    """Return the refusal for a resource that there is not; `kind` is its type with the provider."""
    text = f"The Resource '{kind}/{name}' under resource group '{group}' was not found."
    return RefusedError(404, "ResourceNotFound", text)
