"""Client of a registry (OCI Distribution Specification 1.1): manifests, blobs, referrers."""

from __future__ import annotations

import hashlib
from typing import IO, Any
from urllib.parse import urljoin

import requests

from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.registry import manifests
from deploy.registry.login import Login
from deploy.registry.manifests import Manifest
from deploy.registry.session import RegistrySession, SizedFile

ACCEPT_HEADER = ", ".join(
    [manifests.MANIFEST_TYPE, manifests.DOCKER_MANIFEST_TYPE, *manifests.INDEX_TYPES]
)
CHUNK_BYTES = 1024 * 1024


class Registry:
    """A registry and the credentials for it. Every method raises `DeployError`."""

    def __init__(self, server: str, credentials_source: Login) -> None:
        self.server = server
        self.login = credentials_source
        self.where = f"registry {server}"
        self._session = RegistrySession(server, credentials_source)

    def get_manifest(self, repository: str, reference: str) -> Manifest | None:
        """Return the manifest of a tag or digest, or None if there is none."""
        response = self._session.send(
            "GET", repository, f"manifests/{reference}", headers={"Accept": ACCEPT_HEADER}
        )
        if response.status_code == 404:
            return None
        self._session.check_status(response, 200, f"reading {repository}")
        http_requests.parse_json_object(response.content, self.where)
        digest = manifests.compute_digest(response.content)
        expected = reference if reference.startswith("sha256:") else digest
        if digest != expected:
            raise DeployError(
                self.where, f"the content of {repository}@{reference} does not match its digest"
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return Manifest(digest, kind, response.content)

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Store `manifest` under a tag or its digest.

        Return whether the registry keeps track of its subject (the header OCI-Subject).
        """
        response = self._session.send(
            "PUT",
            repository,
            f"manifests/{reference}",
            push=True,
            data=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )
        self._session.check_status(response, 201, f"writing {repository}:{reference}")
        return "OCI-Subject" in response.headers

    def check_push_access(self, repository: str) -> None:
        """Raise `DeployError` unless the signed-in identity may push to `repository`.

        This starts an upload, which registries discard after a while: ending it needs another
        permission.
        """
        response = self._session.send("POST", repository, "blobs/uploads/", push=True)
        self._session.check_status(response, 202, f"writing to {repository}")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return whether the repository has this blob."""
        response = self._session.send("HEAD", repository, f"blobs/{digest}", push=True)
        return response.status_code == 200

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Mount a blob of the repository `source` of this registry; return whether it worked."""
        path = f"blobs/uploads/?mount={digest}&from={source}"
        extra_scopes = (f"repository:{source}:pull",)
        response = self._session.send(
            "POST", repository, path, push=True, extra_scopes=extra_scopes
        )
        return response.status_code == 201

    def get_blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob, such as a configuration."""
        response = self._session.send("GET", repository, f"blobs/{digest}")
        self._session.check_status(response, 200, f"reading {repository}@{digest}")
        if manifests.compute_digest(response.content) != digest:
            raise DeployError(
                self.where, f"the content of {repository}@{digest} does not match its digest"
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
        response = self._session.send(
            "GET", repository, f"referrers/{digest}", headers={"Accept": manifests.INDEX_TYPE}
        )
        if response.status_code == 200:
            return _list_descriptors(http_requests.parse_json_object(response.content, self.where))
        listed = self.get_manifest(repository, manifests.get_fallback_tag(digest))
        return _list_descriptors(listed.data) if listed else []

    def _download_once(self, repository: str, digest: str, target: IO[bytes]) -> None:
        target.seek(0)
        target.truncate()
        url = self._session.url(repository, f"blobs/{digest}")
        response = self._session.request("GET", url, repository, stream=True)
        self._session.check_status(response, 200, f"reading {repository}@{digest}")
        hasher = hashlib.sha256()
        try:
            for chunk in response.iter_content(CHUNK_BYTES):
                hasher.update(chunk)
                target.write(chunk)
        except requests.RequestException:
            raise http_requests.TransientError(self.where, "the response was interrupted") from None
        if f"sha256:{hasher.hexdigest()}" != digest:
            raise http_requests.TransientError(
                self.where, f"the content received for {digest} does not match"
            )
        target.seek(0)

    def _upload_once(self, repository: str, digest: str, source: IO[bytes], size: int) -> None:
        source.seek(0)
        start = self._session.url(repository, "blobs/uploads/")
        response = self._session.request("POST", start, repository, push=True)
        self._session.check_status(response, 202, f"writing to {repository}")
        url = urljoin(start, response.headers.get("Location", ""))
        url += f"{'&' if '?' in url else '?'}digest={digest}"
        response = self._session.upload(url, repository, SizedFile(source, size))
        self._session.check_status(response, 201, f"writing to {repository}")


def _list_descriptors(index: dict[str, Any]) -> list[dict[str, Any]]:
    return list(index.get("manifests") or [])
