"""Secrets of an Azure Key Vault, read by whoever deploys."""

from __future__ import annotations

from typing import Any

from deploy import cloud, tokens, wire
from deploy.arm.errors import of_answer, short
from deploy.cloud import Cloud
from deploy.errors import DeployError

# "Get Secret".
API = "7.4"


def read(where: Cloud, url: str, holds: str) -> str:
    """Return the secret at `url`, which `holds` tells in words; show it nobody.

    Raises `DeployError`.
    """
    name = url.partition("/secrets/")[2].partition("/")[0]
    vault = url.partition("/secrets/")[0].removeprefix("https://")
    if not vault.partition(":")[0].endswith(where.vault_suffix):
        # A token for vaults reads every secret that whoever deploys may read.
        what = f"its name does not end in {where.vault_suffix}: no token is sent there"
        raise DeployError(f"vault {vault}", what, "name a vault of this cloud")
    http = wire.session()

    def once() -> Any:
        sent = {"Authorization": f"Bearer {cloud.token(where, f'{where.vaults}/.default')}"}
        query = {"api-version": API}
        return wire.send(http, "GET", url, f"vault {vault}", headers=sent, params=query)

    answer = wire.patiently(once)
    if answer.status_code == 200:
        return str(answer.json()["value"])
    said = of_answer(answer)
    if answer.status_code == 404:
        what = f"it has no secret {name}, which holds {holds}"
        # From standard input: what stands in a command is seen by others on the machine.
        hint = (
            "`openssl rand -base64 32 | tr -d '\\n' | az keyvault secret set --vault-name "
            f"{vault.partition('.')[0]} --name {name} --file /dev/stdin --output none`"
        )
        raise DeployError(f"vault {vault}", what, hint)
    if answer.status_code in (401, 403):
        who = tokens.name_of(tokens.claims(cloud.token(where, where.scope)))
        what = f"{who or 'whoever is logged in'} may not read the secret {name}"
        hint = "have the role Key Vault Secrets User assigned; does its network let you in?"
        raise DeployError(f"vault {vault}", what, hint)
    raise DeployError(f"vault {vault}", f"Azure says {said.code}: {short(said.text)}", "try again")
