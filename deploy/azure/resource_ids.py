"""References in the configuration to resources and secrets in Azure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

IDENTITY_PATTERN = (
    r"^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/"
    r"Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+$"
)
IDENTITY_EXAMPLE = (
    "/subscriptions/‹id›/resourceGroups/‹group›/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities/‹name›"
)
# Without a version, the reference means the newest one.
SECRET_REFERENCE_PATTERN = r"^keyvault:https://[\w.-]+(:\d+)?/secrets/[\w-]+(/\w+)?$"


def _reference(value: str) -> str:
    if not re.match(SECRET_REFERENCE_PATTERN, value):
        raise ValueError(
            "a reference is expected: keyvault:https://‹vault›.vault.azure.net/secrets/‹name›, and "
            "/‹version› behind it for a certain one"
        )
    return value


SecretReference = Annotated[
    str, AfterValidator(_reference), Field(json_schema_extra={"pattern": SECRET_REFERENCE_PATTERN})
]


def secret_url(reference: str) -> str:
    """Return the URL of the secret that `keyvault:https://…` refers to."""
    return reference.removeprefix("keyvault:")
