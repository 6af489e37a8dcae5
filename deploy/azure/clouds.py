"""Cloud endpoints and credentials: public and sovereign clouds, or a cloud of your own."""

from __future__ import annotations

import functools
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.config.schema import CloudModel
from deploy.core.errors import DeployError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# The token audience of registries in all clouds (azure-containerregistry, "Authenticate the
# client").
REGISTRY_AUDIENCE = "https://containerregistry.azure.net"

SIGN_IN_HINT = "`az login`; in CI, sign in with workload identity federation"
# Messages of azure-identity for a credential that is not set up, as opposed to one that failed.
CREDENTIAL_UNAVAILABLE = re.compile(
    r"unavailable|not found|not be found|not installed|to be installed"
)


@dataclass(frozen=True)
class Cloud:
    """The endpoints of one Azure cloud."""

    resource_manager: str
    # None: the authority that azure-identity chooses (AZURE_AUTHORITY_HOST, or the public cloud).
    authority: str | None
    registry_suffix: str
    # Seconds between two polls of a long-running operation; None for the SDK's default.
    polling_interval: float | None = None
    # The audience of a token for Key Vault.
    vault_audience: str = "https://vault.azure.net"
    # The end of a Key Vault's host name.
    vault_suffix: str = ".vault.azure.net"
    # The audience of a CI job's token.
    federation_audience: str = "api://AzureADTokenExchange"

    @property
    def scope(self) -> str:
        """Return the scope of a token for Azure Resource Manager."""
        return f"{self.resource_manager.rstrip('/')}/.default"


# azure-cli, `az cloud show`: endpoints and suffixes; Microsoft Learn, "Configure an application to
# trust a managed identity": federation audiences.
CLOUDS = {
    "public": Cloud("https://management.azure.com", None, ".azurecr.io"),
    "usgovernment": Cloud(
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        ".azurecr.us",
        vault_audience="https://vault.usgovcloudapi.net",
        vault_suffix=".vault.usgovcloudapi.net",
        federation_audience="api://AzureADTokenExchangeUSGov",
    ),
    "china": Cloud(
        "https://management.chinacloudapi.cn",
        "https://login.partner.microsoftonline.cn",
        ".azurecr.cn",
        vault_audience="https://vault.azure.cn",
        vault_suffix=".vault.azure.cn",
        federation_audience="api://AzureADTokenExchangeChina",
    ),
}


def resolve_cloud(model: str | CloudModel) -> Cloud:
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
def get_credential(cloud: Cloud) -> TokenCredential:
    """Return the credential to use: of the CI job, a workload or managed identity, or `az login`.

    Raise `DeployError` if the CI job's identity is not valid.
    """
    from azure.identity import DefaultAzureCredential

    from deploy.azure import ci_identity

    # It logs every credential that is not set up; `get_token` reports the one that failed.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    if job_credential := ci_identity.find_credential(cloud.federation_audience, cloud.authority):
        return job_credential
    options = {"authority": cloud.authority} if cloud.authority else {}
    return DefaultAzureCredential(exclude_shared_token_cache_credential=True, **options)


def get_token(cloud: Cloud, scope: str) -> str:
    """Return an Entra token for `scope`. Raise `DeployError` if no credential works."""
    from azure.core.exceptions import AzureError

    from deploy.azure import ci_identity

    credential = get_credential(cloud)
    try:
        return credential.get_token(scope).token
    except AzureError as error:
        reason = _find_failure_reason(str(error))
        hint = ci_identity.suggest_fix(credential, reason) or SIGN_IN_HINT
        raise DeployError("Azure", f"no Azure log-in works: {reason}", hint) from None


def _find_failure_reason(text: str) -> str:
    """Return the credential that was set up and failed, and why, from azure-identity's message."""
    attempts = re.findall(r"^\s*(\w+Credential): (.*)$", text, re.MULTILINE)
    for name, reason in attempts:
        if "AADSTS" in reason or not CREDENTIAL_UNAVAILABLE.search(reason):
            return f"{name}: {_strip_trace_id(reason)}"
    return "no identity is signed in" if attempts else _strip_trace_id(" ".join(text.split()))[:300]


def _strip_trace_id(message: str) -> str:
    """Return a message without Entra's trace ids, which differ each time."""
    return message.partition(" Trace ID:")[0]
