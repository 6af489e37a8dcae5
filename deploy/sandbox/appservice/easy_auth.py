"""Platform authentication ("Easy Auth") with Entra: access checks, and headers for the container.

Documented: "Authentication and authorization in Azure App Service" (a request that is not
authenticated; the headers X-MS-CLIENT-PRINCIPAL…, which a client cannot set), "Configure your App
Service app to use Microsoft Entra sign-in" (allowed audiences, of which the client id is always
one; a failed authorization policy is 403), "File-based configuration" (globalValidation,
excludedPaths). Recorded: the challenge. Assumed: a redirect to the sign-in page is only a 302,
because clients here are programs; an invalid token counts as no token.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import Directory, Identity

ACTIONS = ("AllowAnonymous", "RedirectToLoginPage", "Return401", "Return403")
PREFIX = "x-ms-client-principal"
PRINCIPAL_HEADER_NAMES = frozenset({PREFIX, f"{PREFIX}-id", f"{PREFIX}-idp", f"{PREFIX}-name"})
FORBIDDEN = b"You do not have permission to view this directory or page."


@dataclass(frozen=True)
class AuthDenied:
    """The response to a client without access."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


PrincipalHeaders = list[tuple[str, str]]
"""The headers that describe the client to the container."""


def authenticate(
    auth: Mapping[str, Any], exchange: Exchange, directory: Directory, host: str
) -> AuthDenied | PrincipalHeaders:
    """Return the headers for the container, or the response that denies access."""
    if not (auth.get("platform") or {}).get("enabled"):
        return []
    rules = auth.get("globalValidation") or {}
    entra = (auth.get("identityProviders") or {}).get("azureActiveDirectory") or {}
    identity = _verify_token(entra, exchange, directory)
    if identity:
        if not _is_allowed(entra, identity):
            return AuthDenied(403)
        return _principal_headers(identity)
    anonymous = rules.get("unauthenticatedClientAction") == "AllowAnonymous"
    if anonymous or not rules.get("requireAuthentication") or _is_excluded(rules, exchange.path):
        return []
    return _deny_anonymous(rules, entra, directory, host)


def _verify_token(
    entra: Mapping[str, Any], exchange: Exchange, directory: Directory
) -> Identity | None:
    registration, validation = entra.get("registration") or {}, entra.get("validation") or {}
    # An app that trusts another tenant accepts no token of this one.
    if not entra.get("enabled", True) or directory.tenant not in str(
        registration.get("openIdIssuer")
    ):
        return None
    for audience in [registration.get("clientId"), *(validation.get("allowedAudiences") or [])]:
        try:
            return directory.read(exchange.bearer_token(), str(audience))
        except jwt.InvalidTokenError:
            continue
    return None


def _is_allowed(entra: Mapping[str, Any], who: Identity) -> bool:
    validation = entra.get("validation") or {}
    policy = validation.get("defaultAuthorizationPolicy") or {}
    claims = validation.get("jwtClaimChecks") or {}
    applications = policy.get("allowedApplications") or claims.get("allowedClientApplications")
    identities = (policy.get("allowedPrincipals") or {}).get("identities")
    return (not applications or who.client_id in applications) and (
        not identities or who.object_id in identities
    )


def _is_excluded(rules: Mapping[str, Any], path: str) -> bool:
    for excluded in rules.get("excludedPaths") or []:
        if path == excluded or (excluded.endswith("/*") and path.startswith(excluded[:-1])):
            return True
    return False


def _deny_anonymous(
    rules: Mapping[str, Any], entra: Mapping[str, Any], directory: Directory, host: str
) -> AuthDenied:
    action = rules.get("unauthenticatedClientAction") or "RedirectToLoginPage"
    if action == "Return403":
        return AuthDenied(403)
    if action == "RedirectToLoginPage":
        return AuthDenied(302, (("Location", f"https://{host}/.auth/login/aad"),))
    client = (entra.get("registration") or {}).get("clientId", "")
    challenge = (
        f'Bearer realm="{host}" authorization_uri="https://login.windows.net/{directory.tenant}'
        f'/oauth2/v2.0/authorize" resource_id="{client}"'
    )
    return AuthDenied(401, (("WWW-Authenticate", challenge),))


def _principal_headers(who: Identity) -> PrincipalHeaders:
    claims = [{"typ": "appid", "val": who.client_id}, {"typ": "oid", "val": who.object_id}]
    principal = {"auth_typ": "aad", "claims": claims, "name_typ": "name", "role_typ": "roles"}
    encoded = base64.b64encode(json.dumps(principal).encode()).decode()
    return [
        ("X-MS-CLIENT-PRINCIPAL", encoded),
        ("X-MS-CLIENT-PRINCIPAL-ID", who.object_id),
        ("X-MS-CLIENT-PRINCIPAL-IDP", "aad"),
    ]
