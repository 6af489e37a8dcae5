"""Sign-in to Azure from a CI job with the job's own OIDC token, without a stored secret.

A job's token is valid for minutes. So each sign-in requests a new one, and none is kept: tasks that
take an hour avoid AADSTS700024, which occurs after a single sign-in at their start (Azure/login,
issues 180 and 372).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from azure.core.credentials import TokenCredential
from azure.identity import AzurePipelinesCredential, ClientAssertionCredential

from deploy.azure import jwt
from deploy.core import http_requests
from deploy.core.errors import DeployError

PAGE = "docs/ci/reports.md"
# GitHub Docs, "OpenID Connect reference": set where the job has `permissions: id-token: write`.
GITHUB_TOKEN_URL, GITHUB_TOKEN_BEARER = (
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
GITHUB_TOKEN_SERVICE = "GitHub's token service"
IDENTITY_VARIABLES = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")
# Microsoft Learn, "AzurePipelinesCredential class" and "Use predefined variables". The tasks
# AzureCLI@2 and AzurePowerShell@5 set the AZURESUBSCRIPTION_… of their service connection.
PIPELINES_TOKEN_URL, PIPELINES_ACCESS_TOKEN = "SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN"
SERVICE_CONNECTION_ID = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"
SERVICE_CONNECTION_CLIENT_ID, SERVICE_CONNECTION_TENANT_ID = (
    "AZURESUBSCRIPTION_CLIENT_ID",
    "AZURESUBSCRIPTION_TENANT_ID",
)
# azure-identity, "Credential chains": selects which of its credentials are tried.
CREDENTIAL_SELECTION = "AZURE_TOKEN_CREDENTIALS"
# Entra's error code: no federated credential matches the token's issuer, audience or subject.
NO_MATCHING_FEDERATION = "AADSTS70021"


class GitHubTokenClient:
    """A client that requests OIDC tokens of this GitHub Actions job for one audience."""

    def __init__(self, audience: str, environ: Mapping[str, str]) -> None:
        self._audience, self._environ = audience, environ
        # The claims of the last token, not verified.
        self.claims: dict[str, Any] = {}

    def fetch_token(self) -> str:
        """Return a new token. Raise `DeployError` if GitHub issues none."""
        token = http_requests.with_retries(self._request_token)
        self.claims = jwt.decode_claims(token)
        return token

    def _request_token(self) -> str:
        url = self._environ[GITHUB_TOKEN_URL]
        if not url.startswith("https://"):
            raise DeployError(
                GITHUB_TOKEN_URL, "it is not an https address", "leave it as GitHub sets it"
            )
        answer = http_requests.send(
            http_requests.new_session(),
            "GET",
            url,
            GITHUB_TOKEN_SERVICE,
            params={"audience": self._audience},
            headers={"Authorization": f"Bearer {self._environ[GITHUB_TOKEN_BEARER]}"},
            # The bearer token must reach only the host that the runner names.
            allow_redirects=False,
        )
        if answer.status_code != 200:
            what = f"it gives this job no token: {answer.status_code} {answer.reason}"
            raise DeployError(
                GITHUB_TOKEN_SERVICE, what, "does the job have `permissions: id-token: write`?"
            )
        try:
            return str(answer.json()["value"])
        except (ValueError, KeyError, TypeError):
            what = "its answer contains no token"
            raise DeployError(GITHUB_TOKEN_SERVICE, what, "does a proxy answer for it?") from None


class GitHubCredential(ClientAssertionCredential):
    """An Entra credential for the identity that this GitHub Actions job may use."""

    def __init__(self, audience: str, environ: Mapping[str, str], **options: Any) -> None:
        self.job = GitHubTokenClient(audience, environ)
        client, tenant = (environ[name] for name in IDENTITY_VARIABLES)
        super().__init__(tenant, client, self.job.fetch_token, **options)


def find_credential(
    audience: str, authority: str | None, environ: Mapping[str, str] = os.environ
) -> TokenCredential | None:
    """Return this CI job's credential; None outside of CI, and for a job without an OIDC token.

    Also return None if AZURE_TOKEN_CREDENTIALS selects another credential of azure-identity.
    `audience` is the required audience of the job's token; `authority` is the URL of Entra, or None
    for the public cloud. Raise `DeployError` if the identity is not valid.
    """
    if environ.get(CREDENTIAL_SELECTION):
        return None
    options = {"authority": authority} if authority else {}
    try:
        if _is_github_actions(environ) and not _list_missing_github_settings(environ):
            return GitHubCredential(audience, environ, **options)
        if _is_azure_pipelines(environ) and not _list_missing_pipelines_settings(environ):
            return AzurePipelinesCredential(
                tenant_id=_read_first_variable(
                    environ, SERVICE_CONNECTION_TENANT_ID, IDENTITY_VARIABLES[1]
                ),
                client_id=_read_first_variable(
                    environ, SERVICE_CONNECTION_CLIENT_ID, IDENTITY_VARIABLES[0]
                ),
                service_connection_id=environ[SERVICE_CONNECTION_ID],
                system_access_token=environ[PIPELINES_ACCESS_TOKEN],
                **options,
            )
    except ValueError as error:
        what = f"the identity of this job cannot be used: {error}"
        raise DeployError("AZURE_TENANT_ID", what, f"see {PAGE}") from None
    return None


def suggest_fix(
    credential: TokenCredential, failure: str, environ: Mapping[str, str] = os.environ
) -> str:
    """Return a hint for a failed sign-in in this CI system, or an empty string outside of CI."""
    if isinstance(credential, GitHubCredential):
        if NO_MATCHING_FEDERATION not in failure:
            return f"are {' and '.join(IDENTITY_VARIABLES)} of the identity for this job? ({PAGE})"
        claims = credential.job.claims
        return (
            f"the identity {environ.get(IDENTITY_VARIABLES[0])} needs a federated credential "
            "with what this "
            f"job's token says: issuer {claims.get('iss')}, subject {claims.get('sub')}, audience "
            f"{claims.get('aud')} ({PAGE})"
        )
    if isinstance(credential, AzurePipelinesCredential):
        return (
            "the identity needs a federated credential with the issuer and the subject that the "
            f"service connection {environ.get(SERVICE_CONNECTION_ID)} shows, and this "
            "pipeline must be let "
            f"use it ({PAGE})"
        )
    if _is_github_actions(environ):
        return _format_missing_settings(_list_missing_github_settings(environ))
    return (
        _format_missing_settings(_list_missing_pipelines_settings(environ))
        if _is_azure_pipelines(environ)
        else ""
    )


def _is_github_actions(environ: Mapping[str, str]) -> bool:
    return environ.get("GITHUB_ACTIONS") == "true"


def _is_azure_pipelines(environ: Mapping[str, str]) -> bool:
    return environ.get("TF_BUILD", "").lower() == "true"


def _list_missing_github_settings(environ: Mapping[str, str]) -> list[str]:
    """Return what to set so that a GitHub Actions job can sign in."""
    missing = []
    if not (environ.get(GITHUB_TOKEN_URL) and environ.get(GITHUB_TOKEN_BEARER)):
        missing.append("give the job `permissions: id-token: write`")
    names = [name for name in IDENTITY_VARIABLES if not environ.get(name)]
    if names:
        missing.append(f"set {' and '.join(names)} in the job's `env`")
    return missing


def _list_missing_pipelines_settings(environ: Mapping[str, str]) -> list[str]:
    """Return what to set so that a step of Azure Pipelines can sign in."""
    missing = []
    if not environ.get(PIPELINES_TOKEN_URL):
        missing.append(f"the agent sets no {PIPELINES_TOKEN_URL}: bring it up to date")
    if not environ.get(PIPELINES_ACCESS_TOKEN):
        missing.append(f"map `{PIPELINES_ACCESS_TOKEN}: $(System.AccessToken)` in the step's `env`")
    identity = (
        _read_first_variable(environ, SERVICE_CONNECTION_CLIENT_ID, IDENTITY_VARIABLES[0]),
        _read_first_variable(environ, SERVICE_CONNECTION_TENANT_ID, IDENTITY_VARIABLES[1]),
    )
    if not (environ.get(SERVICE_CONNECTION_ID) and all(identity)):
        missing.append(
            "run the step in the task AzureCLI@2 with your service connection, or set "
            f"{SERVICE_CONNECTION_ID}, {SERVICE_CONNECTION_CLIENT_ID} and "
            f"{SERVICE_CONNECTION_TENANT_ID}"
        )
    return missing


def _format_missing_settings(missing: list[str]) -> str:
    return f"{'; '.join(missing)} ({PAGE})" if missing else f"see {PAGE}"


def _read_first_variable(environ: Mapping[str, str], *names: str) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
