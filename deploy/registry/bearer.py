"""How a registry wants to be asked, and tokens for it ("Token Authentication", Distribution)."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from deploy import wire
from deploy.errors import DeployError
from deploy.registry import login
from deploy.registry.login import Login

# Part of a token's lifetime for which it is used: the rest is for clocks and slow requests.
USED = 0.8
# Seconds for which a token holds that does not say it ("Token Authentication", Distribution).
SHORTEST = 60


@dataclass(frozen=True)
class _Challenge:
    """What a registry answers to who does not say who asks."""

    base: str
    basic: bool = False
    realm: str = ""
    service: str = ""


class Bearer:
    """The address of one registry, and headers that let requests in."""

    def __init__(self, server: str, who: Login, http: requests.Session) -> None:
        self._server, self._who, self._http = server, who, http
        self._where = f"registry {server}"
        self._found: _Challenge | None = None
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    @property
    def base(self) -> str:
        """The registry's address with its scheme. Raises `DeployError` where none answers."""
        return self._challenge().base

    def headers(self, scopes: tuple[str, ...], renew: bool = False) -> dict[str, str]:
        """Return headers for `scopes` (`repository:‹name›:pull,push`), the most important first.

        With `renew` a token that was given before is not used again.
        """
        challenge = self._challenge()
        if challenge.basic:
            known = self._who.credentials()
            if not known.username:
                return {}
            pair = base64.b64encode(f"{known.username}:{known.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        if not challenge.realm:
            return {}
        token, until = self._tokens.get(scopes, ("", 0.0))
        if renew or time.monotonic() > until:
            token, until = self._token(challenge, scopes)
            self._tokens[scopes] = token, until
        return {"Authorization": f"Bearer {token}"}

    def _challenge(self) -> _Challenge:
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self) -> _Challenge:
        base = f"https://{self._server}"
        try:
            response = wire.patiently(lambda: self._ping(base))
        except DeployError as error:
            # As the docker command does: a registry on this machine may do without TLS.
            if not wire.is_loopback(base) or wire.NO_TLS not in str(error):
                raise
            base = f"http://{self._server}"
            response = wire.patiently(lambda: self._ping(base))
        if response.status_code == 200:
            return _Challenge(base)
        if response.status_code == 403:
            what = f"it does not let this machine in: {login.reason(response.text)}"
            raise DeployError(self._where, what, "its firewall must allow this machine's address")
        if response.status_code != 401:
            what = f"this is no registry: /v2/ answers {response.status_code}"
            raise DeployError(self._where, what, "correct `registry` in environments.yaml")
        kind, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        basic = kind.lower() == "basic"
        return _Challenge(base, basic, given.get("realm", ""), given.get("service", ""))

    def _ping(self, base: str) -> requests.Response:
        return wire.send(self._http, "GET", f"{base}/v2/", self._where)

    def _token(self, challenge: _Challenge, scopes: tuple[str, ...]) -> tuple[str, float]:
        """Return an access token, and until when by the monotonic clock it is used."""
        if urlsplit(challenge.realm).scheme != "https" and not wire.is_loopback(challenge.realm):
            what = f"it wants log-ins to be sent without TLS, to {challenge.realm}"
            raise DeployError(self._where, what, "its tokens must come from an https address")
        known = self._who.credentials()
        about = {"service": challenge.service, "scope": list(scopes)}
        if known.refresh_token:
            secret = {"refresh_token": known.refresh_token, "client_id": "flow-deploy"}
            form = {**about, "grant_type": "refresh_token", **secret}
            response = wire.send(self._http, "POST", challenge.realm, self._where, data=form)
        else:
            pair = (known.username, known.password) if known.username else None
            response = wire.send(
                self._http, "GET", challenge.realm, self._where, params=about, auth=pair
            )
        if response.status_code in (400, 401, 403):
            _, repository, actions = scopes[0].split(":")
            raise self._who.refused(self._server, repository, "push" in actions)
        if response.status_code != 200:
            what = f"logging in: it answered {response.status_code} {login.reason(response.text)}"
            raise DeployError(self._where, what)
        data = wire.document(response.content, self._where)
        token, lifetime = data.get("access_token") or data.get("token"), data.get("expires_in")
        if not isinstance(token, str):
            raise DeployError(self._where, "logging in: there is no token in its answer")
        seconds = lifetime if isinstance(lifetime, int | float) and lifetime > 0 else SHORTEST
        return token, time.monotonic() + seconds * USED
