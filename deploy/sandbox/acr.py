"""Azure Container Registry: a real registry behind a frontend with TLS and Entra authentication.

Recorded (tests of the Azure SDKs): paths instead of addresses in Location; the challenge of a 401.
Documented: Microsoft Learn, "Manage OCI artifacts and supply chain artifacts with ORAS"
(referrers). Assumed: a body is read to its end before the next request, as openresty does, even if
it is rejected.
"""

from __future__ import annotations

import re
from pathlib import Path

from deploy.sandbox import proxy
from deploy.sandbox.acr_tokens import ACCESS_SECONDS, ISSUER, UNAUTHORIZED, AcrTokenService
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.identities import Directory
from deploy.sandbox.referrers import INDEX, Referrers
from deploy.sandbox.registry import RegistryProcess

MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)")
REFERRERS = re.compile(r"/v2/(?P<name>.+)/referrers/(?P<digest>sha256:[0-9a-f]{64})")
UPLOAD = "/blobs/uploads/"
DOWNLOAD = "/blobs/sha256:"


class Acr:
    """One registry."""

    def __init__(
        self, name: str, authority: CertificateAuthority, directory: Directory, folder: Path
    ) -> None:
        self.name = name
        # If False, it answers like registries without support for subjects.
        self.referrers_api = True
        self.referrers = Referrers()
        # The frontend, with its record, faults and address.
        self.server = HttpsServer(authority, self._serve)
        login = self.server.name
        self.tokens = AcrTokenService(name, login, authority.signing_key(ISSUER), directory)
        token = {
            "realm": f"{self.server.url}/oauth2/token",
            "service": login,
            "issuer": ISSUER,
            "rootcertbundle": str(authority.bundle),
        }
        self.registry = RegistryProcess(folder, token, relative=True)

    @property
    def login_server(self) -> str:
        """The registry's host and port, as in an image's name."""
        return self.server.name

    @property
    def uploaded_bytes(self) -> int:
        """Bytes of layers and configurations that clients uploaded."""
        return sum(seen.received for seen in self.server.requests("PUT|PATCH|POST", UPLOAD))

    @property
    def downloaded_bytes(self) -> int:
        """Bytes of layers and configurations that clients downloaded."""
        return sum(seen.sent for seen in self.server.requests("GET", DOWNLOAD))

    def start(self) -> None:
        """Start the registry, then its frontend."""
        self.registry.start()
        self.server.start()

    def stop(self) -> None:
        """Stop the frontend and the registry."""
        self.server.stop()
        self.registry.stop()

    def reset(self) -> None:
        """Restore the defaults, and forget recorded requests; keep the content."""
        self.referrers_api = True
        self.tokens.lifetime = ACCESS_SECONDS
        self.server.reset()

    def _serve(self, exchange: Exchange) -> None:
        if exchange.path.startswith("/oauth2/"):
            if not self.tokens.serve(exchange):
                self.server.reject_unknown(exchange, f"registry {self.name}")
        elif exchange.path == "/v2" or exchange.path.startswith("/v2/"):
            self._registry(exchange)
        else:
            self.server.reject_unknown(exchange, f"registry {self.name}")

    def _registry(self, exchange: Exchange) -> None:
        token = exchange.bearer_token()
        access = self.tokens.access(token) if token else None
        manifest = MANIFEST.fullmatch(exchange.path)
        referrers = REFERRERS.fullmatch(exchange.path)
        if token and access is None:
            # Same as no token. The registry rejects before it reads, so it needs no body.
            anonymous = frozenset({"authorization"})
            proxy.relay_response(
                exchange, proxy.forward_request(self.registry.port, exchange, b"", anonymous)
            )
        elif referrers and exchange.method == "GET" and self.referrers_api:
            self._referrers(exchange, access or {}, referrers["name"], referrers["digest"])
        elif manifest and exchange.method == "PUT":
            self._put_manifest(exchange, manifest["name"])
        else:
            response = proxy.forward_request(self.registry.port, exchange)
            if manifest and exchange.method == "DELETE" and response.status == 202:
                self.referrers.remove_manifest(manifest["name"], manifest["reference"])
            proxy.relay_response(exchange, response)

    def _put_manifest(self, exchange: Exchange, name: str) -> None:
        content = exchange.content()
        response = proxy.forward_request(self.registry.port, exchange, content)
        extra = []
        if response.status == 201 and self.referrers_api:
            subject = self.referrers.add_manifest(name, content, exchange.headers["Content-Type"])
            if subject:
                extra.append(("OCI-Subject", subject))
        proxy.relay_response(exchange, response, extra)

    def _referrers(
        self, exchange: Exchange, access: dict[str, set[str]], name: str, digest: str
    ) -> None:
        if "pull" not in access.get(name, set()):
            challenge = (
                f'Bearer realm="{self.server.url}/oauth2/token",service="{self.server.name}",'
                f'scope="repository:{name}:pull"'
            )
            detail = [{"Type": "repository", "Name": name, "Action": "pull"}]
            errors = [{"code": "UNAUTHORIZED", "message": UNAUTHORIZED, "detail": detail}]
            exchange.answer(401, {"errors": errors}, [("WWW-Authenticate", challenge)])
            return
        kind = exchange.query.get("artifactType", [None])[0]
        headers = [("OCI-Filters-Applied", "artifactType")] if kind else []
        index = self.referrers.index(name, digest, kind)
        exchange.answer(200, index, headers, INDEX)
