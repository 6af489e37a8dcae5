"""Which Azure: its addresses, and who asks. Public and sovereign clouds, or one of your own."""

from __future__ import annotations

import base64
import functools
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.errors import DeployError
from deploy.schema import CloudModel

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# Of the registries of all clouds (azure-containerregistry, "Authenticate the client").
REGISTRY_AUDIENCE = "https://containerregistry.azure.net"

# How a credential of azure-identity says that it was not set up, and so did not fail.
ABSENT = re.compile(r"unavailable|not found|not be found|not installed|to be installed")


@dataclass(frozen=True)
class Cloud:
    """The addresses of an Azure.

    `authority` is None for the one that azure-identity chooses (AZURE_AUTHORITY_HOST, or public).
    `polling` is in seconds, between two looks at a long operation; None for the SDK's own.
    `vaults` is whom a token for a Key Vault must be for, `vault_suffix` the end of a vault's host.
    """

    resource_manager: str
    authority: str | None
    registry_suffix: str
    polling: float | None = None
    vaults: str = "https://vault.azure.net"
    vault_suffix: str = ".vault.azure.net"

    @property
    def scope(self) -> str:
        """The scope of a token for Azure Resource Manager."""
        return f"{self.resource_manager.rstrip('/')}/.default"


# azure-cli, `az cloud show`: endpoints and suffixes.
CLOUDS = {
    "public": Cloud("https://management.azure.com", None, ".azurecr.io"),
    "usgovernment": Cloud(
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        ".azurecr.us",
        vaults="https://vault.usgovcloudapi.net",
        vault_suffix=".vault.usgovcloudapi.net",
    ),
    "china": Cloud(
        "https://management.chinacloudapi.cn",
        "https://login.partner.microsoftonline.cn",
        ".azurecr.cn",
        vaults="https://vault.azure.cn",
        vault_suffix=".vault.azure.cn",
    ),
}


def chosen(model: str | CloudModel) -> Cloud:
    """Return the cloud that environments.yaml names or describes."""
    if isinstance(model, str):
        return CLOUDS[model]
    return Cloud(
        model.resource_manager,
        model.authority,
        model.registry_suffix,
        model.polling,
        vault_suffix=model.vault_suffix,
    )


@functools.cache
def credential(cloud: Cloud) -> TokenCredential:
    """Return whoever is logged in: workload identity, managed identity, `az login`."""
    from azure.identity import DefaultAzureCredential

    # It tells of every log-in that is not set up; `token` tells of the one that failed.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    given = {"authority": cloud.authority} if cloud.authority else {}
    return DefaultAzureCredential(exclude_shared_token_cache_credential=True, **given)


def token(cloud: Cloud, scope: str) -> str:
    """Return an Entra token for `scope`. Raises `DeployError` where nobody is logged in."""
    from azure.core.exceptions import AzureError

    try:
        return credential(cloud).get_token(scope).token
    except AzureError as error:
        what = f"no Azure log-in works: {_reason(str(error))}"
        hint = "`az login`; in CI let the workflow log in with workload identity federation"
        raise DeployError("Azure", what, hint) from None


def claims(token: str) -> dict[str, Any]:
    """Return what a token says of itself, unchecked: for messages and expiry only."""
    try:
        part = token.split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return found
    except (IndexError, ValueError):
        return {}


def name_of(claims: Mapping[str, Any]) -> str:
    """Return the name of whom a token with these claims is for: a person's, or a client id."""
    names = (claims.get(key) for key in ("upn", "unique_name", "appid", "azp"))
    return next((str(name) for name in names if name), "")


def _reason(text: str) -> str:
    """Return which log-in was set up and failed, and why, from the list of all that were tried."""
    tried = re.findall(r"^\s*(\w+Credential): (.*)$", text, re.MULTILINE)
    for name, why in tried:
        if "AADSTS" in why or not ABSENT.search(why):
            # Entra's numbers for support follow, which differ each time.
            return f"{name}: {why.partition(' Trace ID:')[0]}"
    return "nobody is logged in" if tried else " ".join(text.split())[:300]
