"""Who asks a registry, and how: Entra's token exchange, or the docker command's credentials.

Nothing is stored: credentials are made when they are asked for, and given with each call.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy import cloud, tokens, wire
from deploy.cloud import Cloud
from deploy.docker import credentials as docker_credentials
from deploy.errors import DeployError

# The name that stands for a token ("Azure Container Registry integration with Azure AD").
TOKEN_USER = "00000000-0000-0000-0000-000000000000"
# A refresh token is made anew when it has less than this left, in s. It holds for 3 hours.
MARGIN = 300


@dataclass(frozen=True)
class Credentials:
    """A user and password, or a refresh token of the registry; for nobody, neither."""

    username: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)

    def for_engine(self) -> dict[str, str]:
        """Return them as docker's `auth_config`."""
        if self.refresh_token:
            return {"username": TOKEN_USER, "password": self.refresh_token}
        return {"username": self.username, "password": self.password} if self.username else {}


class Login(Protocol):
    """Makes credentials for one registry."""

    def credentials(self) -> Credentials:
        """Return credentials that hold for some minutes at least. Raises `DeployError`."""
        ...

    def refused(self, server: str, repository: str, push: bool) -> DeployError:
        """Return the error for a registry that knows who asks, and says no."""
        ...


class AzureLogin:
    """Azure Container Registry: an Entra token becomes a refresh token of the registry."""

    def __init__(self, server: str, where: Cloud) -> None:
        self._server = server
        self._cloud = where
        self._token = ""
        self._until = 0.0
        self._who = "the identity that is logged in"

    def credentials(self) -> Credentials:
        if time.time() > self._until - MARGIN:
            self._token = wire.patiently(self._exchange)
            self._until = float(tokens.claims(self._token).get("exp", 0))
        return Credentials(refresh_token=self._token)

    def refused(self, server: str, repository: str, push: bool) -> DeployError:
        role = "AcrPush" if push else "AcrPull"
        doing = "push to" if push else "pull from"
        what = f"{self._who} may not {doing} {repository}: the role {role} is missing"
        hint = f"have {role} assigned to it on this registry; a new role takes minutes to work"
        return DeployError(f"registry {server}", what, hint)

    def _exchange(self) -> str:
        entra = cloud.token(self._cloud, f"{cloud.REGISTRY_AUDIENCE}/.default")
        self._who = _identity(tokens.claims(entra))
        form = {"grant_type": "access_token", "service": self._server, "access_token": entra}
        where = f"registry {self._server}"
        url = f"https://{self._server}/oauth2/exchange"
        response = wire.send(wire.session(), "POST", url, where, data=form)
        if response.status_code == 200:
            token = wire.document(response.content, where).get("refresh_token")
            if isinstance(token, str):
                return token
            raise DeployError(where, "logging in: there is no token in its answer")
        what = f"it does not accept {self._who}: {response.status_code} {reason(response.text)}"
        hint = "is the registry in the tenant that you are logged in to? `az account show`"
        raise DeployError(where, what, hint)


class DockerLogin:
    """Any other registry: what `docker login` and credential helpers know, or no credentials."""

    def __init__(self, server: str) -> None:
        self._server = server

    def credentials(self) -> Credentials:
        auth = docker_credentials.resolve(self._server).auth
        return Credentials(
            username=auth.get("username", ""),
            password=auth.get("password", ""),
            refresh_token=auth.get("identitytoken", ""),
        )

    def refused(self, server: str, repository: str, push: bool) -> DeployError:
        known, problem = self.credentials(), docker_credentials.resolve(self._server).problem
        doing = "push to" if push else "pull from"
        what = f"{known.username or 'the user of the docker command'} may not {doing} {repository}"
        hint = f"`docker login {server}` with a user who may"
        if known == Credentials():
            what = f"no credentials are known, and they are needed to {doing} {repository}"
        if problem:
            what = f"{what}; {problem}"
            hint = f"{docker_credentials.HINT}, then `docker login {server}`"
        return DeployError(f"registry {server}", what, hint)


def choose(server: str, kind: str | None, where: Cloud) -> Login:
    """Return how to log in to `server`: as `kind` says, or by its name."""
    if kind == "azure" or (kind is None and server.endswith(where.registry_suffix)):
        return AzureLogin(server, where)
    return DockerLogin(server)


def reason(text: str) -> str:
    """Return the message of a registry's error document, or the text itself, shortened."""
    try:
        error: Any = json.loads(text)["errors"][0]
        return str(error.get("message") or error.get("code"))[:200]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return " ".join(text.split())[:200]


def _identity(claims: dict[str, Any]) -> str:
    name = tokens.name_of(claims)
    thing = f" (object {claims['oid']})" if claims.get("oid") else ""
    return f"the identity {name or 'without a name'}{thing}"
