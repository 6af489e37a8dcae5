"""The services that issue tokens to CI jobs: GitHub's and Azure DevOps'.

Documented: GitHub Docs, "OpenID Connect reference" (two variables, `audience` in the query, `value`
in the response); Microsoft Learn, "Oidctoken - Create" (a POST, `oidcToken` in the response).
Recorded: what `AzurePipelinesCredential` of azure-identity 1.27 sends. Assumed: what errors look
like.
"""

from __future__ import annotations

import secrets

from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.identities import FEDERATED_AUDIENCE, Directory, Identity

GITHUB_PATH = "/github/idtoken"
DEVOPS_PATH = "/contoso/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken"
SERVICE_CONNECTION_ID = "5a2cb3f1-3d2c-4a55-8c1e-f0a1d2a7e0b4"


class CiTokenService:
    """Both services. A job is identified by a bearer token that only its runner knows."""

    def __init__(self, authority: CertificateAuthority, directory: Directory) -> None:
        self._directory = directory
        self._jobs: dict[str, Identity] = {}
        # An address to which GitHub's requests are redirected.
        self.redirect = ""
        # Seconds for which a token is valid.
        self.lifetime = 300.0
        self.server = HttpsServer(authority, self._serve)

    def reset(self) -> None:
        """Restore the defaults, and forget all jobs."""
        self._jobs.clear()
        self.redirect, self.lifetime = "", 300.0
        self.server.reset()

    def github(self, identity: Identity) -> dict[str, str]:
        """Return the variables of a GitHub job that may request a token for `identity`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.server.url}{GITHUB_PATH}?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._bearer(identity),
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": self._directory.tenant,
        }

    def azure_pipelines(self, identity: Identity) -> dict[str, str]:
        """Return the variables of AzureCLI@2 and the agent, and the one that the pipeline maps."""
        return {
            "TF_BUILD": "True",
            "SYSTEM_OIDCREQUESTURI": f"{self.server.url}{DEVOPS_PATH}",
            "SYSTEM_ACCESSTOKEN": self._bearer(identity),
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": SERVICE_CONNECTION_ID,
            "AZURESUBSCRIPTION_CLIENT_ID": identity.client_id,
            "AZURESUBSCRIPTION_TENANT_ID": self._directory.tenant,
        }

    def _bearer(self, identity: Identity) -> str:
        bearer = secrets.token_hex(16)
        self._jobs[bearer] = identity
        return bearer

    def _serve(self, exchange: Exchange) -> None:
        job = self._jobs.get(exchange.bearer_token())
        request = (exchange.method, exchange.path)
        if request not in (("GET", GITHUB_PATH), ("POST", DEVOPS_PATH)):
            self.server.reject_unknown(exchange, "job tokens")
        elif job is None:
            exchange.answer(401, {"message": "this is no job of ours"})
        elif self.redirect:
            exchange.answer(302, b"", [("Location", self.redirect)])
        elif request == ("GET", GITHUB_PATH):
            audience = exchange.query.get("audience", ["https://github.com/contoso"])[0]
            token = self._directory.issue_federated_token(job, self.lifetime, aud=audience)
            exchange.answer(200, {"count": len(token), "value": token})
        elif exchange.query.get("serviceConnectionId") != [SERVICE_CONNECTION_ID]:
            exchange.answer(404, {"message": "there is no such service connection"})
        else:
            token = self._directory.issue_federated_token(
                job, self.lifetime, aud=FEDERATED_AUDIENCE
            )
            exchange.answer(200, {"oidcToken": token})
