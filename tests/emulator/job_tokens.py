"""Where jobs of CI get tokens of their own: GitHub's token service, and Azure DevOps'.

Documented: GitHub Docs, "OpenID Connect reference" (two variables, `audience` in the query, `value` in
the answer); Microsoft Learn, "Oidctoken - Create" (a POST, `oidcToken` in the answer). Recorded: what
`AzurePipelinesCredential` of azure-identity 1.27 sends. Assumed: what refusals look like.
"""

from __future__ import annotations

import secrets

from tests.emulator.certificates import Authority
from tests.emulator.exchange import Exchange
from tests.emulator.identities import FEDERATED_AUDIENCE, Directory, Identity
from tests.emulator.server import Server

GITHUB_PATH = "/github/idtoken"
DEVOPS_PATH = "/contoso/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken"
CONNECTION = "5a2cb3f1-3d2c-4a55-8c1e-f0a1d2a7e0b4"


class JobTokens:
    """Both services. A job is who it is by `bearer`, which only its own runner knows.

    `seen` of the server has each request; `redirect` is an address to which GitHub's requests are
    sent on, `lifetime` that of a token in seconds.
    """

    def __init__(self, authority: Authority, directory: Directory) -> None:
        self._directory = directory
        self._jobs: dict[str, Identity] = {}
        self.redirect = ""
        self.lifetime = 300.0
        self.server = Server(authority, self._serve)

    def reset(self) -> None:
        """Behave well from now on, and forget every job."""
        self._jobs.clear()
        self.redirect, self.lifetime = "", 300.0
        self.server.reset()

    def github(self, identity: Identity) -> dict[str, str]:
        """Return what the runner sets in a job that may have a token, and the job itself."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.server.url}{GITHUB_PATH}?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._bearer(identity),
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": self._directory.tenant,
        }

    def azure_pipelines(self, identity: Identity) -> dict[str, str]:
        """Return what AzureCLI@2 and the agent set, and the one that a pipeline maps itself."""
        return {
            "TF_BUILD": "True",
            "SYSTEM_OIDCREQUESTURI": f"{self.server.url}{DEVOPS_PATH}",
            "SYSTEM_ACCESSTOKEN": self._bearer(identity),
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": CONNECTION,
            "AZURESUBSCRIPTION_CLIENT_ID": identity.client_id,
            "AZURESUBSCRIPTION_TENANT_ID": self._directory.tenant,
        }

    def _bearer(self, identity: Identity) -> str:
        made = secrets.token_hex(16)
        self._jobs[made] = identity
        return made

    def _serve(self, exchange: Exchange) -> None:
        job = self._jobs.get(exchange.bearer())
        request = (exchange.method, exchange.path)
        if request not in (("GET", GITHUB_PATH), ("POST", DEVOPS_PATH)):
            self.server.unexpected.append(f"job tokens: {exchange.method} {exchange.target}")
            exchange.answer(404, b"there is no such page")
        elif job is None:
            exchange.answer(401, {"message": "this is no job of ours"})
        elif self.redirect:
            exchange.answer(302, b"", [("Location", self.redirect)])
        elif request == ("GET", GITHUB_PATH):
            audience = exchange.query.get("audience", ["https://github.com/contoso"])[0]
            token = self._directory.federated_token(job, self.lifetime, aud=audience)
            exchange.answer(200, {"count": len(token), "value": token})
        elif exchange.query.get("serviceConnectionId") != [CONNECTION]:
            exchange.answer(404, {"message": "there is no such service connection"})
        else:
            token = self._directory.federated_token(job, self.lifetime, aud=FEDERATED_AUDIENCE)
            exchange.answer(200, {"oidcToken": token})
