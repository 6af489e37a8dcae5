"""Microsoft Entra's token endpoint for workload identity federation.

Recorded: what azure-identity sends (`WorkloadIdentityCredential` of 1.25 to 1.27: one POST, no
instance discovery), and the shape of the response. Documented: Microsoft Learn, "Microsoft identity
platform and the OAuth 2.0 client credentials flow", third case (federated credential), and
"Microsoft Entra authentication and authorization error codes". Assumed: the order of the checks if
several errors apply.
"""

from __future__ import annotations

import datetime
import re
import uuid

import jwt

from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.identities import CI_ISSUER, TOKEN_SECONDS, Directory

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_PATH = re.compile(r"/(?P<tenant>[^/]+)/oauth2/v2\.0/token")

_NO_RECORD = "No matching federated identity record found for presented assertion"
# The code and the text of each error of an assertion; the first that applies counts.
ASSERTION_ERRORS: tuple[tuple[type[jwt.InvalidTokenError], int, str], ...] = (
    (jwt.ExpiredSignatureError, 700024, "Client assertion is not within its valid time range."),
    (jwt.InvalidAudienceError, 700212, f"{_NO_RECORD} audience."),
    (jwt.InvalidIssuerError, 700211, f"{_NO_RECORD} issuer."),
    (jwt.InvalidTokenError, 700027, "Client assertion failed signature validation."),
)


class Entra:
    """The token service of one tenant."""

    def __init__(self, authority: CertificateAuthority, directory: Directory) -> None:
        self._directory = directory
        # The resources that tokens can be requested for.
        self.audiences: set[str] = set()
        # Seconds for which a token is valid.
        self.lifetime = TOKEN_SECONDS
        self.server = HttpsServer(authority, self._serve)

    def reset(self) -> None:
        """Restore the defaults, and forget recorded requests."""
        self.lifetime = TOKEN_SECONDS
        self.server.reset()

    def _serve(self, exchange: Exchange) -> None:
        match = TOKEN_PATH.fullmatch(exchange.path)
        if exchange.method != "POST" or not match:
            self.server.reject_unknown(exchange, "Entra")
            return
        tenant = match["tenant"]
        try:
            self._issue_token(exchange, tenant)
        except _TokenError as token_error:
            text, code = str(token_error), token_error.code
            now = datetime.datetime.now(datetime.UTC)
            trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
            content = {
                "error": token_error.error,
                "error_description": f"AADSTS{code}: {text} Trace ID: {trace} "
                f"Correlation ID: {correlation} Timestamp: {now:%Y-%m-%d %H:%M:%SZ}",
                "error_codes": [code],
                "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
                "trace_id": trace,
                "correlation_id": correlation,
            }
            exchange.answer(401 if token_error.error == "invalid_client" else 400, content)

    def _issue_token(self, exchange: Exchange, tenant: str) -> None:
        form = {name: values[0] for name, values in exchange.form().items()}
        if tenant != self._directory.tenant:
            text = (
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            )
            raise _TokenError("invalid_request", 90002, text)
        if form.get("grant_type") != "client_credentials":
            text = f"The app requested an unsupported grant type '{form.get('grant_type', '')}'."
            raise _TokenError("unsupported_grant_type", 70003, text)
        client = form.get("client_id", "")
        identity = self._directory.find(client)
        if identity is None:
            text = (
                f"Application with identifier '{client}' was not found in the directory 'Contoso'."
            )
            raise _TokenError("unauthorized_client", 700016, text)
        if form.get("client_assertion_type") != ASSERTION or not form.get("client_assertion"):
            text = "The request body must contain the following parameter: 'client_assertion'."
            raise _TokenError("invalid_client", 7000218, text)
        try:
            claims = self._directory.verify_federated_token(form["client_assertion"])
        except jwt.InvalidTokenError as error:
            code, text = next(row[1:] for row in ASSERTION_ERRORS if isinstance(error, row[0]))
            raise _TokenError("invalid_client", code, text) from None
        if claims.get("sub") != identity.subject:
            text = f"{_NO_RECORD} subject '{claims.get('sub')}' and issuer '{CI_ISSUER}'."
            raise _TokenError("invalid_client", 700213, text)
        audience, _, kind = form.get("scope", "").rpartition("/")
        if kind != ".default" or audience not in self.audiences:
            text = f"The resource principal named {audience} was not found in the tenant Contoso."
            raise _TokenError("invalid_resource", 500011, text)
        lifetime = int(self.lifetime)
        content = {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": self._directory.issue(identity, audience, lifetime),
        }
        exchange.answer(200, content, [("Cache-Control", "no-store, no-cache")])


class _TokenError(Exception):
    def __init__(self, error: str, code: int, text: str) -> None:
        super().__init__(text)
        self.error = error
        self.code = code
