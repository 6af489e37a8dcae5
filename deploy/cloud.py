"""Which Azure: its addresses, and who asks. Public and sovereign clouds, or one of your own."""

from __future__ import annotations

import functools
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.errors import DeployError
from deploy.schema import CloudModel

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# Of the registries of all clouds (azure-containerregistry, "Authenticate the client").
REGISTRY_AUDIENCE = "https://containerregistry.azure.net"

LOG_IN = "`az login`; in CI let the workflow log in with workload identity federation"
# How a credential of azure-identity says that it was not set up, and so did not fail.
ABSENT = re.compile(r"unavailable|not found|not be found|not installed|to be installed")


@dataclass(frozen=True)
class Cloud:
    """The addresses of an Azure.

    `authority` is None for the one that azure-identity chooses (AZURE_AUTHORITY_HOST, or public).
    `polling` is in seconds, between two looks at a long operation; None for the SDK's own.
    `vaults` is whom a token for a Key Vault must be for, `vault_suffix` the end of a vault's host.
    `federation` is whom the token of a CI job must be for.
    """

    resource_manager: str
    authority: str | None
    registry_suffix: str
    polling: float | None = None
    vaults: str = "https://vault.azure.net"
    vault_suffix: str = ".vault.azure.net"
    federation: str = "api://AzureADTokenExchange"

    @property
    def scope(self) -> str:
        """The scope of a token for Azure Resource Manager."""
        return f"{self.resource_manager.rstrip('/')}/.default"


# azure-cli, `az cloud show`: endpoints and suffixes; Microsoft Learn, "Configure an application to
# trust a managed identity": audiences of federation.
CLOUDS = {
    "public": Cloud("https://management.azure.com", None, ".azurecr.io"),
    "usgovernment": Cloud(
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        ".azurecr.us",
        vaults="https://vault.usgovcloudapi.net",
        vault_suffix=".vault.usgovcloudapi.net",
        federation="api://AzureADTokenExchangeUSGov",
    ),
    "china": Cloud(
        "https://management.chinacloudapi.cn",
        "https://login.partner.microsoftonline.cn",
        ".azurecr.cn",
        vaults="https://vault.azure.cn",
        vault_suffix=".vault.azure.cn",
        federation="api://AzureADTokenExchangeChina",
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
    """Return whoever is logged in: the job of CI, workload or managed identity, `az login`.

    Raises `DeployError` where a job's identity cannot be one.
    """
    from azure.identity import DefaultAzureCredential

    from deploy.job import oidc

    # It tells of every log-in that is not set up; `token` tells of the one that failed.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    if job := oidc.credential(cloud.federation, cloud.authority):
        return job
    given = {"authority": cloud.authority} if cloud.authority else {}
    return DefaultAzureCredential(exclude_shared_token_cache_credential=True, **given)


def token(cloud: Cloud, scope: str) -> str:
    """Return an Entra token for `scope`. Raises `DeployError` where nobody is logged in."""
    from azure.core.exceptions import AzureError

    from deploy.job import oidc

    used = credential(cloud)
    try:
        return used.get_token(scope).token
    except AzureError as error:
        reason = _reason(str(error))
        hint = oidc.advice(used, reason) or LOG_IN
        raise DeployError("Azure", f"no Azure log-in works: {reason}", hint) from None


def _reason(text: str) -> str:
    """Return which log-in was set up and failed, and why, from the list of all that were tried."""
    tried = re.findall(r"^\s*(\w+Credential): (.*)$", text, re.MULTILINE)
    for name, why in tried:
        if "AADSTS" in why or not ABSENT.search(why):
            return f"{name}: {_without_numbers(why)}"
    return "nobody is logged in" if tried else _without_numbers(" ".join(text.split()))[:300]


def _without_numbers(said: str) -> str:
    """Leave out Entra's numbers for support, which differ each time."""
    return said.partition(" Trace ID:")[0]
