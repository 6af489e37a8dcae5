"""The tokens of Azure Container Registry.

Documented: "Azure Container Registry integration with Azure Active Directory" (Azure/acr,
docs/AAD-OAuth.md): /oauth2/exchange, /oauth2/token, the claims of both tokens. Recorded (tests of the
Azure SDKs): the answers have no `expires_in`. Assumed: rights are looked up when an access token is
issued, and what is not granted is missing in it, without an error.
"""

from __future__ import annotations

import base64
import threading
import time
import uuid
from typing import Any

import jwt

from tests.emulator.certificates import SigningKey
from tests.emulator.exchange import Exchange
from tests.emulator.identities import PULL, PUSH, Directory, Identity

ISSUER = "Azure Container Registry"
AUDIENCE = "https://containerregistry.azure.net"
NOBODY = "00000000-0000-0000-0000-000000000000"
REFRESH_SECONDS = 3 * 3600.0
ACCESS_SECONDS = 75 * 60.0
ACTIONS = {"pull": PULL, "push": PUSH}
UNAUTHORIZED = (
    "authentication required, visit https://aka.ms/acr/authorization for more information."
)


class Tokens:
    """Issues tokens of the registry `name` at `service`, and knows those that still hold."""

    def __init__(self, name: str, service: str, key: SigningKey, directory: Directory) -> None:
        self._name = name
        self._service = service
        self._key = key
        self._directory = directory
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        # Seconds for which an access token holds from its issue.
        self.lifetime = ACCESS_SECONDS

    def expire(self) -> None:
        """Let every access token that was issued be refused from now on."""
        with self._lock:
            self._until.clear()

    def serve(self, exchange: Exchange) -> bool:
        """Answer a request to /oauth2; return whether it is one of those that there are."""
        where = exchange.method, exchange.path
        if where == ("POST", "/oauth2/exchange"):
            self._exchange(exchange)
        elif where == ("POST", "/oauth2/token"):
            self._by_form(exchange)
        elif where == ("GET", "/oauth2/token"):
            self._by_password(exchange)
        else:
            return False
        return True

    def access(self, token: str) -> dict[str, set[str]] | None:
        """Return what an access token allows for each repository, None if it does not hold.

        The registry itself gives a minute's grace after the end, so that clocks may differ.
        """
        try:
            claims = self._key.read(token, self._service)
        except jwt.InvalidTokenError:
            return None
        with self._lock:
            if time.monotonic() > self._until.get(claims["jti"], 0):
                return None
        return {granted["name"]: set(granted["actions"]) for granted in claims["access"]}

    def own(self, *scopes: str) -> str:
        """Return an access token of the service itself, for what it does inside."""
        access = [_resource(scope) for scope in scopes]
        return self._issue({"sub": "importer", "access": access, "roles": []})

    def _exchange(self, exchange: Exchange) -> None:
        form = exchange.form()
        if _one(form, "grant_type") != "access_token" or _one(form, "service") != self._service:
            _refuse(exchange, 400, "UNSUPPORTED", "the grant type or the service is not supported")
            return
        try:
            identity = self._directory.read(_one(form, "access_token"), AUDIENCE)
        except jwt.InvalidTokenError as error:
            _refuse(exchange, 401, "UNAUTHORIZED", f"{UNAUTHORIZED} {error}")
            return
        about = {
            "sub": identity.client_id,
            "aud": self._service,
            "version": "1.0",
            "grant_type": "refresh_token",
            "tenant": self._directory.tenant,
            "permissions": {"actions": sorted(_granted(identity, self._name)), "notActions": []},
            "roles": [],
        }
        exchange.answer(200, {"refresh_token": self._key.sign(about, REFRESH_SECONDS)})

    def _by_form(self, exchange: Exchange) -> None:
        form = exchange.form()
        if _one(form, "grant_type") != "refresh_token":
            # Measured: the engine never tries it, and the real one does not know it.
            _refuse(exchange, 400, "UNSUPPORTED", "the grant type is not supported")
            return
        self._answer(exchange, form, _one(form, "refresh_token"))

    def _by_password(self, exchange: Exchange) -> None:
        kind, _, secret = exchange.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(secret).decode().partition(":")
        except ValueError:
            user = password = ""
        known = kind.lower() == "basic" and user == NOBODY
        self._answer(exchange, exchange.query, password if known else "")

    def _answer(self, exchange: Exchange, form: dict[str, list[str]], refresh: str) -> None:
        try:
            claims = self._key.read(refresh, self._service)
            if claims.get("grant_type") != "refresh_token":
                raise jwt.InvalidTokenError("an access token is no refresh token")
        except jwt.InvalidTokenError as error:
            _refuse(exchange, 401, "UNAUTHORIZED", f"{UNAUTHORIZED} {error}")
            return
        if _one(form, "service") != self._service:
            _refuse(exchange, 400, "UNSUPPORTED", "the service is not supported")
            return
        identity = self._directory.find(claims["sub"])
        allowed = _granted(identity, self._name) if identity else set()
        access = []
        for scope in " ".join(form.get("scope", [])).split():
            resource = _resource(scope)
            actions = [action for action in resource["actions"] if action in allowed]
            if actions and resource["type"] == "repository":
                access.append({**resource, "actions": actions})
        exchange.answer(
            200, {"access_token": self._issue({"sub": claims["sub"], "access": access})}
        )

    def _issue(self, about: dict[str, Any]) -> str:
        name = str(uuid.uuid4())
        with self._lock:
            self._until[name] = time.monotonic() + self.lifetime
        common = {"aud": self._service, "version": "1.0", "grant_type": "access_token", "jti": name}
        return self._key.sign({**common, **about}, self.lifetime)


def _granted(identity: Identity, registry: str) -> set[str]:
    return {name for name, action in ACTIONS.items() if identity.may(action, registry)}


def _resource(scope: str) -> dict[str, Any]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _one(form: dict[str, list[str]], name: str) -> str:
    return form.get(name, [""])[0]


def _refuse(exchange: Exchange, status: int, code: str, message: str) -> None:
    exchange.answer(status, {"errors": [{"code": code, "message": message}]})
