"""Names by which configuration refers to what is in Azure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

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


def _reference(value: str) -> str:
    if not re.match(VAULT_SECRET, value):
        raise ValueError(
            "a reference is expected: keyvault:https://‹vault›.vault.azure.net/secrets/‹name›, and "
            "/‹version› behind it for a certain one"
        )
    return value


Reference = Annotated[
    str, AfterValidator(_reference), Field(json_schema_extra={"pattern": VAULT_SECRET})
]


def secret_url(reference: str) -> str:
    """Return the address of the secret that `keyvault:https://…` refers to."""
    return reference.removeprefix("keyvault:")
