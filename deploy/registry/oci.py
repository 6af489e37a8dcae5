"""Client of a registry (OCI Distribution Specification 1.1): manifests, blobs, referrers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests

from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.registry import login
from deploy.registry.authentication import Authenticator
from deploy.registry.login import Login

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = (INDEX_TYPE, DOCKER_INDEX_TYPE)
ACCEPT_HEADER = ", ".join([MANIFEST_TYPE, DOCKER_MANIFEST_TYPE, *INDEX_TYPES])
CHUNK_BYTES = 1024 * 1024
DIGEST = re.compile("sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, byte for byte as the registry has it."""

    digest: str
    media_type: str
    content: bytes

    @property
    def data(self) -> dict[str, Any]:
        """Return the parsed document."""
        document: dict[str, Any] = json.loads(self.content)
        return document

    @property
    def descriptor(self) -> dict[str, Any]:
        """Return the descriptor by which other manifests refer to this one."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


class Registry:
    """A registry and the credentials for it. Every method raises `DeployError`."""

    def __init__(self, server: str, credentials_source: Login) -> None:
        self.server = server
        self.login = credentials_source
        self.where = f"registry {server}"
        self._http = http_requests.new_session()
        self._bearer = Authenticator(server, credentials_source, self._http)

    def get_manifest(self, repository: str, reference: str) -> Manifest | None:
        """Return the manifest of a tag or digest, or None if there is none."""
        response = self._request_with_retries(
            "GET", repository, f"manifests/{reference}", headers={"Accept": ACCEPT_HEADER}
        )
        if response.status_code == 404:
            return None
        self._check_status(response, 200, f"reading {repository}")
        http_requests.parse_json_object(response.content, self.where)
        digest = compute_digest(response.content)
        expected = reference if reference.startswith("sha256:") else digest
        if digest != expected:
            raise DeployError(
                self.where, f"{repository}@{reference} has other content than its digest"
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return Manifest(digest, kind, response.content)

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Store `manifest` under a tag or its digest.

        Return whether the registry keeps track of its subject (the header OCI-Subject).
        """
        response = self._request_with_retries(
            "PUT",
            repository,
            f"manifests/{reference}",
            push=True,
            data=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )
        self._check_status(response, 201, f"writing {repository}:{reference}")
        return "OCI-Subject" in response.headers

    def check_push_access(self, repository: str) -> None:
        """Raise `DeployError` unless the signed-in identity may push to `repository`.

        This starts an upload, which registries discard after a while: ending it needs another
        permission.
        """
        response = self._request_with_retries("POST", repository, "blobs/uploads/", push=True)
        self._check_status(response, 202, f"writing to {repository}")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return whether the repository has this blob."""
        return (
            self._request_with_retries("HEAD", repository, f"blobs/{digest}", push=True).status_code
            == 200
        )

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Mount a blob of the repository `source` of this registry; return whether it worked."""
        path = f"blobs/uploads/?mount={digest}&from={source}"
        extra_scopes = (f"repository:{source}:pull",)
        return (
            self._request_with_retries(
                "POST", repository, path, push=True, extra_scopes=extra_scopes
            ).status_code
            == 201
        )

    def get_blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob, such as a configuration."""
        response = self._request_with_retries("GET", repository, f"blobs/{digest}")
        self._check_status(response, 200, f"reading {repository}@{digest}")
        if compute_digest(response.content) != digest:
            raise DeployError(
                self.where, f"{repository}@{digest} has other content than its digest"
            )
        return response.content

    def download_blob(self, repository: str, digest: str, target: IO[bytes]) -> None:
        """Write a blob to the empty file `target`; start again if the connection breaks."""
        http_requests.with_retries(lambda: self._download_once(repository, digest, target))

    def upload_blob(self, repository: str, digest: str, source: IO[bytes], size: int) -> None:
        """Upload `size` bytes of the file `source`; start again if the connection breaks."""
        http_requests.with_retries(lambda: self._upload_once(repository, digest, source, size))

    def list_referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Return the descriptors of the documents that refer to the manifest `digest`.

        This uses the referrers API, or the fallback tag if the registry lacks the API.
        """
        response = self._request_with_retries(
            "GET", repository, f"referrers/{digest}", headers={"Accept": INDEX_TYPE}
        )
        if response.status_code == 200:
            return _list_descriptors(http_requests.parse_json_object(response.content, self.where))
        listed = self.get_manifest(repository, get_fallback_tag(digest))
        return _list_descriptors(listed.data) if listed else []

    def _request_with_retries(
        self, method: str, repository: str, path: str, **arguments: Any
    ) -> requests.Response:
        return http_requests.with_retries(
            lambda: self._request(method, self._url(repository, path), repository, **arguments)
        )

    def _request(
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
            if renew and isinstance(arguments.get("data"), _SizedFile):
                arguments["data"].seek(0)
            all_headers = {**(headers or {}), **self._bearer.headers(scopes, renew)}
            response = http_requests.send(
                self._http, method, url, self.where, headers=all_headers, **arguments
            )
            if response.status_code != 401:
                break
        if "invalid_token" in response.headers.get("WWW-Authenticate", ""):
            message = "it does not accept the token that it has just issued"
            raise DeployError(self.where, message, "is the clock of this machine right?")
        if response.status_code in (401, 403):
            raise self.login.explain_denial(self.server, repository, push)
        return response

    def _url(self, repository: str, path: str) -> str:
        return f"{self._bearer.base}/v2/{repository}/{path}"

    def _download_once(self, repository: str, digest: str, target: IO[bytes]) -> None:
        target.seek(0)
        target.truncate()
        url = self._url(repository, f"blobs/{digest}")
        response = self._request("GET", url, repository, stream=True)
        self._check_status(response, 200, f"reading {repository}@{digest}")
        hasher = hashlib.sha256()
        try:
            for chunk in response.iter_content(CHUNK_BYTES):
                hasher.update(chunk)
                target.write(chunk)
        except requests.RequestException:
            raise http_requests.TransientError(self.where, "the answer broke off") from None
        if f"sha256:{hasher.hexdigest()}" != digest:
            raise http_requests.TransientError(self.where, f"{digest} came with other content")
        target.seek(0)

    def _upload_once(self, repository: str, digest: str, source: IO[bytes], size: int) -> None:
        source.seek(0)
        start = self._url(repository, "blobs/uploads/")
        response = self._request("POST", start, repository, push=True)
        self._check_status(response, 202, f"writing to {repository}")
        upload_url = urljoin(start, response.headers.get("Location", ""))
        url = f"{upload_url}{'&' if '?' in upload_url else '?'}digest={digest}"
        body = _SizedFile(source, size)
        headers = {"Content-Type": "application/octet-stream"}
        if _parse_origin(upload_url) == _parse_origin(start):
            response = self._request("PUT", url, repository, push=True, data=body, headers=headers)
        elif urlsplit(upload_url).scheme == "https":
            # A token is only for the registry's own host.
            response = http_requests.send(
                self._http, "PUT", url, self.where, data=body, headers=headers
            )
        else:
            message = f"it wants uploads to go without TLS to {urlsplit(upload_url).netloc}"
            hint = "behind a proxy, let the registry know its own address"
            raise DeployError(self.where, message, hint)
        self._check_status(response, 201, f"writing to {repository}")

    def _check_status(self, response: requests.Response, status: int, operation: str) -> None:
        if response.status_code != status:
            message = (
                f"{operation}: it answered {response.status_code} "
                f"{login.read_error_message(response.text)}"
            )
            raise DeployError(self.where, message)


class _SizedFile:
    """A file of known length: requests then streams it with a Content-Length, not in chunks."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._size = source, size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)

    def seek(self, position: int) -> int:
        return self._source.seek(position)


def compute_digest(content: bytes) -> str:
    """Return the digest of `content`: `sha256:…`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_digest(descriptor: Any, location: str) -> str:
    """Return the digest in `descriptor`, a part of a manifest of the registry `location`.

    Raises `DeployError` for any other value: as a part of a URL it could lead anywhere.
    """
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise DeployError(
            location, "a manifest names something by no digest", "push the image again"
        )
    return digest


def create_manifest(data: dict[str, Any]) -> Manifest:
    """Return `data` as a manifest; the same data give the same bytes."""
    content = json.dumps(data, separators=(",", ":"), sort_keys=True).encode()
    return Manifest(compute_digest(content), str(data["mediaType"]), content)


def get_fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of `digest` if there is no API for it.

    OCI Distribution Specification, "Unavailable Referrers API".
    """
    return digest.replace(":", "-")


def _parse_origin(url: str) -> tuple[str, str | None, int]:
    """Return scheme, host and port; a missing port becomes the scheme's default port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80}.get(parts.scheme, 443)


def _list_descriptors(index: dict[str, Any]) -> list[dict[str, Any]]:
    return list(index.get("manifests") or [])
