"""Error responses of Resource Manager.

Documented: Azure Resource Manager, "Common deployment errors" (shape), "Troubleshoot Azure RBAC".
"""

from __future__ import annotations

from typing import Any

from deploy.sandbox.identities import Identity


class ArmError(Exception):
    """An error response with its status, code, message and further fields."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self._more = more

    @property
    def content(self) -> dict[str, Any]:
        """The body of the response."""
        return {"error": {"code": self.code, "message": str(self), **self._more}}


def authorization_error(who: Identity, action: str, scope: str) -> ArmError:
    """Return the error for a missing permission (documented: "Troubleshoot Azure RBAC")."""
    text = (
        f"The client '{who.client_id}' with object id '{who.object_id}' does not have authorization "
        f"to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was "
        "recently granted, please refresh your credentials."
    )
    return ArmError(403, "AuthorizationFailed", text)


def require_permission(who: Identity, action: str, scope: str, id: str) -> None:
    """Raise `ArmError` if no role on `scope`, whose resource id is `id`, allows `action`."""
    if not who.has_permission(action, scope):
        raise authorization_error(who, action, id)


def linked_authorization_error(
    who: Identity, action: str, scope: str, linked_action: str, linked_scope: str
) -> ArmError:
    """Return the error for a missing permission on a resource that a request refers to."""
    text = (
        f"The client '{who.client_id}' with object id '{who.object_id}' has permission to perform "
        f"action '{action}' on scope '{scope}'; however, it does not have permission to perform "
        f"action '{linked_action}' on the linked scope(s) '{linked_scope}' or the linked scope(s) "
        "are invalid."
    )
    return ArmError(403, "LinkedAuthorizationFailed", text)


def not_found_error(kind: str, name: str, group: str) -> ArmError:
    """Return the error for a missing resource; `kind` is its type, with the provider's name."""
    text = f"The Resource '{kind}/{name}' under resource group '{group}' was not found."
    return ArmError(404, "ResourceNotFound", text)
