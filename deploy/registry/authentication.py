"""Authenticate requests to a registry ("Token Authentication", Distribution)."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import requests

from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.registry import login
from deploy.registry.login import Login

# Fraction of a token's lifetime for which it is used: the rest is for clock differences and slow
# requests.
TOKEN_USE_FRACTION = 0.8
# Lifetime in seconds of a token without a stated lifetime ("Token Authentication", Distribution).
DEFAULT_TOKEN_SECONDS = 60


@dataclass(frozen=True)
class _Challenge:
    """A registry's answer to a request without credentials."""

    base: str
    basic: bool = False
    realm: str = ""
    service: str = ""


class Authenticator:
    """The address of one registry, and headers that authenticate requests."""

    def __init__(self, server: str, credentials_source: Login, http: requests.Session) -> None:
        self._server, self._login, self._http = server, credentials_source, http
        self._where = f"registry {server}"
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    @property
    def base(self) -> str:
        """Return the registry's address with its scheme. Raises `DeployError` if none answers."""
        return self._challenge.base

    def headers(self, scopes: tuple[str, ...], renew: bool = False) -> dict[str, str]:
        """Return headers for `scopes` (`repository:‹name›:pull,push`), the most important first.

        With `renew`, a cached token is replaced by a new one.
        """
        challenge = self._challenge
        if challenge.basic:
            credentials = self._login.credentials()
            if not credentials.username:
                return {}
            pair = base64.b64encode(
                f"{credentials.username}:{credentials.password}".encode()
            ).decode()
            return {"Authorization": f"Basic {pair}"}
        if not challenge.realm:
            return {}
        token, until = self._tokens.get(scopes, ("", 0.0))
        if renew or time.monotonic() > until:
            token, until = self._request_token(challenge, scopes)
            self._tokens[scopes] = token, until
        return {"Authorization": f"Bearer {token}"}

    @cached_property
    def _challenge(self) -> _Challenge:
        base = f"https://{self._server}"
        try:
            response = http_requests.with_retries(lambda: self._ping(base))
        except DeployError as error:
            # Like the docker command, use plain HTTP for a registry on this machine that has no
            # TLS.
            if not http_requests.is_loopback(base) or http_requests.NO_TLS not in str(error):
                raise
            base = f"http://{self._server}"
            response = http_requests.with_retries(lambda: self._ping(base))
        if response.status_code == 200:
            return _Challenge(base)
        if response.status_code == 403:
            message = (
                f"it denies access from this machine: {login.read_error_message(response.text)}"
            )
            raise DeployError(self._where, message, "allow this machine's address in its firewall")
        if response.status_code != 401:
            message = f"this is not a registry: /v2/ returns {response.status_code}"
            raise DeployError(self._where, message, "correct `registry` in environments.yaml")
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        parameters = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        basic = scheme.lower() == "basic"
        return _Challenge(base, basic, parameters.get("realm", ""), parameters.get("service", ""))

    def _ping(self, base: str) -> requests.Response:
        return http_requests.send(self._http, "GET", f"{base}/v2/", self._where)

    def _request_token(self, challenge: _Challenge, scopes: tuple[str, ...]) -> tuple[str, float]:
        """Return an access token, and the monotonic time until which to use it."""
        if urlsplit(challenge.realm).scheme != "https" and not http_requests.is_loopback(
            challenge.realm
        ):
            message = f"it requests credentials without TLS, at {challenge.realm}"
            raise DeployError(
                self._where, message, "configure an https address for its token service"
            )
        credentials = self._login.credentials()
        scope_parameters = {"service": challenge.service, "scope": list(scopes)}
        if credentials.refresh_token:
            secret = {"refresh_token": credentials.refresh_token, "client_id": "flow-deploy"}
            form = {**scope_parameters, "grant_type": "refresh_token", **secret}
            response = http_requests.send(
                self._http, "POST", challenge.realm, self._where, data=form
            )
        else:
            pair = (credentials.username, credentials.password) if credentials.username else None
            response = http_requests.send(
                self._http, "GET", challenge.realm, self._where, params=scope_parameters, auth=pair
            )
        if response.status_code in (400, 401, 403):
            _, repository, actions = scopes[0].split(":")
            raise self._login.explain_denial(self._server, repository, "push" in actions)
        if response.status_code != 200:
            message = (
                f"sign-in failed: it returned {response.status_code} "
                f"{login.read_error_message(response.text)}"
            )
            raise DeployError(self._where, message)
        data = http_requests.parse_json_object(response.content, self._where)
        token, lifetime = data.get("access_token") or data.get("token"), data.get("expires_in")
        if not isinstance(token, str):
            raise DeployError(self._where, "sign-in failed: the response has no token")
        seconds = (
            lifetime
            if isinstance(lifetime, int | float) and lifetime > 0
            else DEFAULT_TOKEN_SECONDS
        )
        return token, time.monotonic() + seconds * TOKEN_USE_FRACTION
