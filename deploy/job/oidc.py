"""Log-in to Azure as the CI job that this is: by the job's own token (OIDC), without a secret.

A job's token holds for minutes. So one is asked for at each log-in, and none is kept: what takes an
hour does not meet AADSTS700024, as after one log-in at its start (Azure/login, issues 180 and 372).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from azure.core.credentials import TokenCredential
from azure.identity import AzurePipelinesCredential, ClientAssertionCredential

from deploy import tokens, wire
from deploy.errors import DeployError

PAGE = "docs/ci/reports.md"
# GitHub Docs, "OpenID Connect reference": set where the job has `permissions: id-token: write`.
URL, BEARER = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
WHERE = "GitHub's token service"
IDENTITY = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")
# Microsoft Learn, "AzurePipelinesCredential class" and "Use predefined variables". The tasks
# AzureCLI@2 and AzurePowerShell@5 set the AZURESUBSCRIPTION_… of their service connection.
ADDRESS, ACCESS = "SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN"
CONNECTION = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"
CLIENT, TENANT = "AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_TENANT_ID"
# azure-identity, "Credential chains": which of its log-ins are tried.
CHOSEN = "AZURE_TOKEN_CREDENTIALS"
# Of Entra: no federated credential has the token's issuer, audience or subject.
UNKNOWN = "AADSTS70021"


class GitHubJob:
    """Gets tokens of this job for `audience`; `claims` are those of the last one, unchecked."""

    def __init__(self, audience: str, environ: Mapping[str, str]) -> None:
        self._audience, self._environ = audience, environ
        self.claims: dict[str, Any] = {}

    def token(self) -> str:
        """Return a new token. Raises `DeployError`."""
        token = wire.patiently(self._ask)
        self.claims = tokens.claims(token)
        return token

    def _ask(self) -> str:
        url = self._environ[URL]
        if not url.startswith("https://"):
            raise DeployError(URL, "it is no https address", "leave it as GitHub sets it")
        answer = wire.send(
            wire.session(),
            "GET",
            url,
            WHERE,
            params={"audience": self._audience},
            headers={"Authorization": f"Bearer {self._environ[BEARER]}"},
            # What the request brings is for the host that the runner names, and for no other.
            allow_redirects=False,
        )
        if answer.status_code != 200:
            what = f"it gives this job no token: {answer.status_code} {answer.reason}"
            raise DeployError(WHERE, what, "does the job have `permissions: id-token: write`?")
        try:
            return str(answer.json()["value"])
        except (ValueError, KeyError, TypeError):
            what = "there is no token in its answer"
            raise DeployError(WHERE, what, "does a proxy answer for it?") from None


class GitHubCredential(ClientAssertionCredential):
    """Entra's tokens for the identity that this job of GitHub Actions may act as."""

    def __init__(self, audience: str, environ: Mapping[str, str], **given: Any) -> None:
        self.job = GitHubJob(audience, environ)
        client, tenant = (environ[name] for name in IDENTITY)
        super().__init__(tenant, client, self.job.token, **given)


def credential(
    audience: str, authority: str | None, environ: Mapping[str, str] = os.environ
) -> TokenCredential | None:
    """Return who this job may act as; None outside of CI, and where a job has no such token.

    None, too, where AZURE_TOKEN_CREDENTIALS asks azure-identity for another log-in. `audience` is
    whom a token of the job must be for, `authority` where Entra is; None for the public one. Raises
    `DeployError`.
    """
    if environ.get(CHOSEN):
        return None
    given = {"authority": authority} if authority else {}
    try:
        if _on_github(environ) and not _missing_on_github(environ):
            return GitHubCredential(audience, environ, **given)
        if _on_azure(environ) and not _missing_on_azure(environ):
            return AzurePipelinesCredential(
                tenant_id=_first(environ, TENANT, IDENTITY[1]),
                client_id=_first(environ, CLIENT, IDENTITY[0]),
                service_connection_id=environ[CONNECTION],
                system_access_token=environ[ACCESS],
                **given,
            )
    except ValueError as error:
        what = f"the identity of this job cannot be used: {error}"
        raise DeployError("AZURE_TENANT_ID", what, f"see {PAGE}") from None
    return None


def advice(used: TokenCredential, failure: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what to do in this CI system where a log-in fails; empty outside of one."""
    if isinstance(used, GitHubCredential):
        if UNKNOWN not in failure:
            return f"are {' and '.join(IDENTITY)} of the identity for this job? ({PAGE})"
        said = used.job.claims
        return (
            f"the identity {environ.get(IDENTITY[0])} needs a federated credential with what this "
            f"job's token says: issuer {said.get('iss')}, subject {said.get('sub')}, audience "
            f"{said.get('aud')} ({PAGE})"
        )
    if isinstance(used, AzurePipelinesCredential):
        return (
            "the identity needs a federated credential with the issuer and the subject that the "
            f"service connection {environ.get(CONNECTION)} shows, and this pipeline must be let "
            f"use it ({PAGE})"
        )
    if _on_github(environ):
        return _set(_missing_on_github(environ))
    return _set(_missing_on_azure(environ)) if _on_azure(environ) else ""


def _on_github(environ: Mapping[str, str]) -> bool:
    return environ.get("GITHUB_ACTIONS") == "true"


def _on_azure(environ: Mapping[str, str]) -> bool:
    return environ.get("TF_BUILD", "").lower() == "true"


def _missing_on_github(environ: Mapping[str, str]) -> list[str]:
    """Return what to set so that a job of GitHub Actions can log in."""
    found = []
    if not (environ.get(URL) and environ.get(BEARER)):
        found.append("give the job `permissions: id-token: write`")
    names = [name for name in IDENTITY if not environ.get(name)]
    if names:
        found.append(f"set {' and '.join(names)} in the job's `env`")
    return found


def _missing_on_azure(environ: Mapping[str, str]) -> list[str]:
    """Return what to set so that a step of Azure Pipelines can log in."""
    found = []
    if not environ.get(ADDRESS):
        found.append(f"the agent sets no {ADDRESS}: bring it up to date")
    if not environ.get(ACCESS):
        found.append(f"map `{ACCESS}: $(System.AccessToken)` in the step's `env`")
    identity = (_first(environ, CLIENT, IDENTITY[0]), _first(environ, TENANT, IDENTITY[1]))
    if not (environ.get(CONNECTION) and all(identity)):
        found.append(
            "run the step in the task AzureCLI@2 with your service connection, or set "
            f"{CONNECTION}, {CLIENT} and {TENANT}"
        )
    return found


def _set(missing: list[str]) -> str:
    return f"{'; '.join(missing)} ({PAGE})" if missing else f"see {PAGE}"


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
