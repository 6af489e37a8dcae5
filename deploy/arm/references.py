"""Names by which configuration refers to what is in Azure."""

from __future__ import annotations

IDENTITY = (
    r"^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/"
    r"Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+$"
)
IDENTITY_EXAMPLE = (
    "/subscriptions/‹id›/resourceGroups/‹group›/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities/‹name›"
)
# With a version, or without one for the newest.
VAULT_SECRET = r"^keyvault:https://[\w.-]+(:\d+)?/secrets/[\w-]+(/\w+)?$"


def secret_url(reference: str) -> str:
    """Return the address of the secret that `keyvault:https://…` refers to."""
    return reference.removeprefix("keyvault:")
