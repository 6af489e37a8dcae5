"""Send authenticated requests to one registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

import requests

from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.registry import login
from deploy.registry.authentication import Authenticator
from deploy.registry.login import Login


class SizedFile:
    """A file of known length: requests then streams it with a Content-Length, not in chunks."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._size = source, size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)

    def seek(self, position: int) -> int:
        return self._source.seek(position)


class RegistrySession:
    """Requests to one registry, with a token for each repository."""

    def __init__(self, server: str, credentials_source: Login) -> None:
        self._server, self._login = server, credentials_source
        self._where = f"registry {server}"
        self._http = http_requests.new_session()
        self._authenticator = Authenticator(server, credentials_source, self._http)

    def url(self, repository: str, path: str) -> str:
        """Return the address of `path` in a repository."""
        return f"{self._authenticator.base}/v2/{repository}/{path}"

    def send(self, method: str, repository: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request to `path` in a repository; repeat it after transient failures."""
        return http_requests.with_retries(
            lambda: self.request(method, self.url(repository, path), repository, **arguments)
        )

    def request(
        self,
        method: str,
        url: str,
        repository: str,
        *,
        push: bool = False,
        extra_scopes: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> requests.Response:
        """Send one request with a token for `repository`; renew an expired token once.

        `extra_scopes` are additional scopes of the token. Raises `http_requests.TransientError`,
        too.
        """
        scopes = (f"repository:{repository}:{'pull,push' if push else 'pull'}", *extra_scopes)
        for renew in (False, True):
            if renew and isinstance(arguments.get("data"), SizedFile):
                arguments["data"].seek(0)
            all_headers = {**(headers or {}), **self._authenticator.headers(scopes, renew)}
            response = http_requests.send(
                self._http, method, url, self._where, headers=all_headers, **arguments
            )
            if response.status_code != 401:
                break
        if "invalid_token" in response.headers.get("WWW-Authenticate", ""):
            message = "it rejects the token that it has just issued"
            raise DeployError(self._where, message, "check the clock of this machine")
        if response.status_code in (401, 403):
            raise self._login.explain_denial(self._server, repository, push)
        return response

    def upload(self, url: str, repository: str, body: SizedFile) -> requests.Response:
        """Send `body` to the address that the registry named for an upload to `repository`.

        A token is sent only to the registry's own host.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if _parse_origin(url) == _parse_origin(self._authenticator.base):
            return self.request("PUT", url, repository, push=True, data=body, headers=headers)
        if urlsplit(url).scheme == "https":
            return http_requests.send(
                self._http, "PUT", url, self._where, data=body, headers=headers
            )
        message = f"it redirects uploads to {urlsplit(url).netloc} without TLS"
        hint = "if it is behind a proxy, configure its public address in the registry"
        raise DeployError(self._where, message, hint)

    def check_status(self, response: requests.Response, status: int, operation: str) -> None:
        """Raise `DeployError` if the response does not have this HTTP status."""
        if response.status_code != status:
            message = (
                f"{operation}: it returned {response.status_code} "
                f"{login.read_error_message(response.text)}"
            )
            raise DeployError(self._where, message)


def _parse_origin(url: str) -> tuple[str, str | None, int]:
    """Return scheme, host and port; a missing port becomes the scheme's default port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80}.get(parts.scheme, 443)
