"""Sign in to a registry: with Entra's token exchange, or with the docker command's credentials.

Nothing is stored: credentials are created on demand and passed with each request.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.azure import clouds, jwt
from deploy.azure.clouds import Cloud
from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.docker import credentials as docker_credentials

# User name for a password that is a token ("Azure Container Registry integration with Azure AD").
TOKEN_USER = "00000000-0000-0000-0000-000000000000"
# A refresh token is renewed when less than this is left, in seconds. It is valid for 3 hours.
RENEWAL_SECONDS = 300


@dataclass(frozen=True)
class Credentials:
    """A user name and password, or a refresh token; all empty for anonymous access."""

    username: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)

    def to_auth_config(self) -> dict[str, str]:
        """Return the credentials as docker's `auth_config`."""
        if self.refresh_token:
            return {"username": TOKEN_USER, "password": self.refresh_token}
        return {"username": self.username, "password": self.password} if self.username else {}


class Login(Protocol):
    """A source of credentials for one registry."""

    def credentials(self) -> Credentials:
        """Return credentials that are valid for at least some minutes. Raises `DeployError`."""
        ...

    def explain_denial(self, server: str, repository: str, push: bool) -> DeployError:
        """Return the error for an authenticated request that the registry denies."""
        ...


class AzureLogin:
    """Sign-in to Azure Container Registry: exchange an Entra token for a refresh token."""

    def __init__(self, server: str, cloud: Cloud) -> None:
        self._server = server
        self._cloud = cloud
        self._token = ""
        self._expires = 0.0
        self._identity = "the identity that is signed in"

    def credentials(self) -> Credentials:
        if time.time() > self._expires - RENEWAL_SECONDS:
            self._token = http_requests.with_retries(self._exchange_token)
            self._expires = float(jwt.decode_claims(self._token).get("exp", 0))
        return Credentials(refresh_token=self._token)

    def explain_denial(self, server: str, repository: str, push: bool) -> DeployError:
        role = "AcrPush" if push else "AcrPull"
        operation = "push to" if push else "pull from"
        message = (
            f"{self._identity} is not allowed to {operation} {repository}: it lacks the role {role}"
        )
        hint = (
            f"assign it {role} on this registry; a new assignment takes minutes to become effective"
        )
        return DeployError(f"registry {server}", message, hint)

    def _exchange_token(self) -> str:
        entra_token = clouds.get_token(self._cloud, f"{clouds.REGISTRY_AUDIENCE}/.default")
        self._identity = _describe_identity(jwt.decode_claims(entra_token))
        form = {"grant_type": "access_token", "service": self._server, "access_token": entra_token}
        location = f"registry {self._server}"
        url = f"https://{self._server}/oauth2/exchange"
        response = http_requests.send(http_requests.new_session(), "POST", url, location, data=form)
        if response.status_code == 200:
            token = http_requests.parse_json_object(response.content, location).get("refresh_token")
            if isinstance(token, str):
                return token
            raise DeployError(location, "sign-in failed: the response has no token")
        message = (
            f"sign-in failed for {self._identity}: {response.status_code} "
            f"{read_error_message(response.text)}"
        )
        hint = "check that the registry is in the tenant of `az account show`"
        raise DeployError(location, message, hint)


class DockerLogin:
    """Credentials of `docker login` and credential helpers for any other registry, or none."""

    def __init__(self, server: str) -> None:
        self._server = server

    def credentials(self) -> Credentials:
        auth = docker_credentials.resolve_credentials(self._server).auth
        return Credentials(
            username=auth.get("username", ""),
            password=auth.get("password", ""),
            refresh_token=auth.get("identitytoken", ""),
        )

    def explain_denial(self, server: str, repository: str, push: bool) -> DeployError:
        auth, problem = (
            self.credentials(),
            docker_credentials.resolve_credentials(self._server).problem,
        )
        operation = "push to" if push else "pull from"
        message = f"{auth.username or 'the docker user'} is not allowed to {operation} {repository}"
        hint = f"run `docker login {server}` as a user with this permission"
        if auth == Credentials():
            message = f"credentials are required to {operation} {repository}, and none are stored"
        if problem:
            message = f"{message}; {problem}"
            hint = f"{docker_credentials.HELPER_HINT}, then run `docker login {server}`"
        return DeployError(f"registry {server}", message, hint)


def choose_login(server: str, kind: str | None, cloud: Cloud) -> Login:
    """Return the way to sign in to `server`: the configured `kind`, or by the server's name."""
    if kind == "azure" or (kind is None and server.endswith(cloud.registry_suffix)):
        return AzureLogin(server, cloud)
    return DockerLogin(server)


def read_error_message(text: str) -> str:
    """Return the message of a registry's error document, or the text itself, shortened."""
    try:
        error: Any = json.loads(text)["errors"][0]
        return str(error.get("message") or error.get("code"))[:200]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return " ".join(text.split())[:200]


def _describe_identity(claims: dict[str, Any]) -> str:
    name = jwt.get_principal_name(claims)
    object_id = f" (object {claims['oid']})" if claims.get("oid") else ""
    return f"the identity {name or 'without a name'}{object_id}"
