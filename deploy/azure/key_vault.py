"""Secrets of an Azure Key Vault, read with the deploying identity."""

from __future__ import annotations

from typing import Any

from deploy.azure import clouds, jwt
from deploy.azure.clouds import Cloud
from deploy.azure.errors import parse_response, shorten_message
from deploy.core import http_requests
from deploy.core.errors import DeployError

# Azure Key Vault REST API, "Get Secret".
API_VERSION = "7.4"


def read_secret(cloud: Cloud, url: str, purpose: str) -> str:
    """Return the secret at `url`, whose purpose `purpose` describes; never print it.

    Raise `DeployError` if it cannot be read.
    """
    name = url.partition("/secrets/")[2].partition("/")[0]
    vault = url.partition("/secrets/")[0].removeprefix("https://")
    if not vault.partition(":")[0].endswith(cloud.vault_suffix):
        # A Key Vault token opens every secret that the deploying identity may read.
        what = f"its name does not end in {cloud.vault_suffix}: no token is sent there"
        raise DeployError(f"vault {vault}", what, "name a vault of this cloud")
    http = http_requests.new_session()

    def once() -> Any:
        headers = {
            "Authorization": f"Bearer {clouds.get_token(cloud, f'{cloud.vault_audience}/.default')}"
        }
        query = {"api-version": API_VERSION}
        return http_requests.send(http, "GET", url, f"vault {vault}", headers=headers, params=query)

    answer = http_requests.with_retries(once)
    if answer.status_code == 200:
        return str(answer.json()["value"])
    error = parse_response(answer)
    if answer.status_code == 404:
        what = f"it has no secret {name}, which holds {purpose}"
        # From standard input: other users of the machine can see a command's arguments.
        hint = (
            "`openssl rand -base64 32 | tr -d '\\n' | az keyvault secret set --vault-name "
            f"{vault.partition('.')[0]} --name {name} --file /dev/stdin --output none`"
        )
        raise DeployError(f"vault {vault}", what, hint)
    if answer.status_code in (401, 403):
        principal = jwt.get_principal_name(jwt.decode_claims(clouds.get_token(cloud, cloud.scope)))
        what = f"{principal or 'the signed-in identity'} may not read the secret {name}"
        hint = "have the role Key Vault Secrets User assigned; does its network let you in?"
        raise DeployError(f"vault {vault}", what, hint)
    raise DeployError(
        f"vault {vault}", f"Azure says {error.code}: {shorten_message(error.text)}", "try again"
    )
