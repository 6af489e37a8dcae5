"""The tokens of Azure Container Registry.

Documented: "Azure Container Registry integration with Azure Active Directory" (Azure/acr,
docs/AAD-OAuth.md): /oauth2/exchange, /oauth2/token, the claims of both tokens. Recorded (tests of
the Azure SDKs): the responses have no `expires_in`. Assumed: permissions are looked up when an
access token is issued, and denied actions are missing in it, without an error.
"""

from __future__ import annotations

import base64
import threading
import time
import uuid
from typing import Any

import jwt

from deploy.sandbox.certificates import SigningKey
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import PULL_ACTION, PUSH_ACTION, Directory, Identity

ISSUER = "Azure Container Registry"
AUDIENCE = "https://containerregistry.azure.net"
TOKEN_USERNAME = "00000000-0000-0000-0000-000000000000"
REFRESH_SECONDS = 3 * 3600.0
ACCESS_SECONDS = 75 * 60.0
SCOPE_ACTIONS = {"pull": PULL_ACTION, "push": PUSH_ACTION}
UNAUTHORIZED = (
    "authentication required, visit https://aka.ms/acr/authorization for more information."
)


class AcrTokenService:
    """Issues tokens of the registry `name` at `service`, and knows which are still valid."""

    def __init__(self, name: str, service: str, key: SigningKey, directory: Directory) -> None:
        self._name = name
        self._service = service
        self._key = key
        self._directory = directory
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        # Seconds for which a new access token is valid.
        self.lifetime = ACCESS_SECONDS

    def expire(self) -> None:
        """Reject every access token that was issued so far."""
        with self._lock:
            self._until.clear()

    def serve(self, exchange: Exchange) -> bool:
        """Answer a request to /oauth2; return False if there is no such endpoint."""
        endpoint = exchange.method, exchange.path
        if endpoint == ("POST", "/oauth2/exchange"):
            self._issue_refresh_token(exchange)
        elif endpoint == ("POST", "/oauth2/token"):
            self._answer_form_request(exchange)
        elif endpoint == ("GET", "/oauth2/token"):
            self._answer_basic_request(exchange)
        else:
            return False
        return True

    def access(self, token: str) -> dict[str, set[str]] | None:
        """Return the actions that a token allows by repository, None if it is not valid.

        The registry itself accepts tokens for a minute after their end, to allow for clock
        differences.
        """
        try:
            claims = self._key.read(token, self._service)
        except jwt.InvalidTokenError:
            return None
        with self._lock:
            if time.monotonic() > self._until.get(claims["jti"], 0):
                return None
        return {granted["name"]: set(granted["actions"]) for granted in claims["access"]}

    def issue_internal_token(self, *scopes: str) -> str:
        """Return an access token of the service itself, for internal operations."""
        access = [_parse_scope(scope) for scope in scopes]
        return self._sign_access_token({"sub": "importer", "access": access, "roles": []})

    def _issue_refresh_token(self, exchange: Exchange) -> None:
        form = exchange.form()
        if (
            _read_field(form, "grant_type") != "access_token"
            or _read_field(form, "service") != self._service
        ):
            _answer_error(
                exchange, 400, "UNSUPPORTED", "the grant type or the service is not supported"
            )
            return
        try:
            identity = self._directory.read(_read_field(form, "access_token"), AUDIENCE)
        except jwt.InvalidTokenError as error:
            _answer_error(exchange, 401, "UNAUTHORIZED", f"{UNAUTHORIZED} {error}")
            return
        claims = {
            "sub": identity.client_id,
            "aud": self._service,
            "version": "1.0",
            "grant_type": "refresh_token",
            "tenant": self._directory.tenant,
            "permissions": {
                "actions": sorted(_list_granted_actions(identity, self._name)),
                "notActions": [],
            },
            "roles": [],
        }
        exchange.answer(200, {"refresh_token": self._key.sign(claims, REFRESH_SECONDS)})

    def _answer_form_request(self, exchange: Exchange) -> None:
        form = exchange.form()
        if _read_field(form, "grant_type") != "refresh_token":
            # Measured: the engine never uses another one, and the real service rejects it.
            _answer_error(exchange, 400, "UNSUPPORTED", "the grant type is not supported")
            return
        self._answer(exchange, form, _read_field(form, "refresh_token"))

    def _answer_basic_request(self, exchange: Exchange) -> None:
        kind, _, secret = exchange.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(secret).decode().partition(":")
        except ValueError:
            user = password = ""
        is_token_user = kind.lower() == "basic" and user == TOKEN_USERNAME
        self._answer(exchange, exchange.query, password if is_token_user else "")

    def _answer(self, exchange: Exchange, form: dict[str, list[str]], refresh: str) -> None:
        try:
            claims = self._key.read(refresh, self._service)
            if claims.get("grant_type") != "refresh_token":
                raise jwt.InvalidTokenError("an access token is no refresh token")
        except jwt.InvalidTokenError as error:
            _answer_error(exchange, 401, "UNAUTHORIZED", f"{UNAUTHORIZED} {error}")
            return
        if _read_field(form, "service") != self._service:
            _answer_error(exchange, 400, "UNSUPPORTED", "the service is not supported")
            return
        identity = self._directory.find(claims["sub"])
        allowed = _list_granted_actions(identity, self._name) if identity else set()
        access = []
        for scope in " ".join(form.get("scope", [])).split():
            resource = _parse_scope(scope)
            actions = [action for action in resource["actions"] if action in allowed]
            if actions and resource["type"] == "repository":
                access.append({**resource, "actions": actions})
        exchange.answer(
            200, {"access_token": self._sign_access_token({"sub": claims["sub"], "access": access})}
        )

    def _sign_access_token(self, claims: dict[str, Any]) -> str:
        token_id = str(uuid.uuid4())
        with self._lock:
            self._until[token_id] = time.monotonic() + self.lifetime
        defaults = {
            "aud": self._service,
            "version": "1.0",
            "grant_type": "access_token",
            "jti": token_id,
        }
        return self._key.sign({**defaults, **claims}, self.lifetime)


def _list_granted_actions(identity: Identity, registry: str) -> set[str]:
    return {
        name for name, action in SCOPE_ACTIONS.items() if identity.has_permission(action, registry)
    }


def _parse_scope(scope: str) -> dict[str, Any]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _read_field(form: dict[str, list[str]], name: str) -> str:
    return form.get(name, [""])[0]


def _answer_error(exchange: Exchange, status: int, code: str, message: str) -> None:
    exchange.answer(status, {"errors": [{"code": code, "message": message}]})
