"""Copy an image from one emulated registry to another inside the service, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import requests

from deploy.sandbox.acr import Acr

MANIFEST_MEDIA_TYPES = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)
CHUNK = 1024 * 1024
SECONDS = 60


class ManifestNotFoundError(Exception):
    """The source has no such manifest."""


class RepositoryClient:
    """A repository as the service itself accesses it: without the frontend, with its own token."""

    def __init__(self, acr: Acr, repository: str) -> None:
        self._acr = acr
        self.repository = repository
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> RepositoryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def digest(self, tag: str) -> str | None:
        """Return the digest of the manifest that a tag refers to, None if there is none."""
        response = self.send_request("HEAD", f"manifests/{tag}", accept=MANIFEST_MEDIA_TYPES)
        return response.headers["Docker-Content-Digest"] if response.status_code == 200 else None

    def send_request(
        self, method: str, path: str, accept: str = "*/*", **rest: Any
    ) -> requests.Response:
        """Send a request about the repository; return the response of any status."""
        token = self._acr.tokens.issue_internal_token(f"repository:{self.repository}:pull,push")
        url = path if "://" in path else f"{self._acr.registry.url}/v2/{self.repository}/{path}"
        headers = {"Authorization": f"Bearer {token}", "Accept": accept, **rest.pop("headers", {})}
        return self._http.request(method, url, headers=headers, timeout=SECONDS, **rest)


def copy_image(
    source: RepositoryClient, reference: str, target: RepositoryClient, tags: list[str]
) -> None:
    """Copy a manifest with everything it refers to; an index with all its images.

    Recorded (dotnet/docker-tools, pull request 2003): referrers are not copied. Raise
    `ManifestNotFoundError`.
    """
    manifest = source.send_request("GET", f"manifests/{reference}", accept=MANIFEST_MEDIA_TYPES)
    if manifest.status_code != 200:
        raise ManifestNotFoundError(reference)
    data: dict[str, Any] = json.loads(manifest.content)
    for image in data.get("manifests", []):
        copy_image(source, image["digest"], target, [])
    for part in [*([data["config"]] if "config" in data else []), *data.get("layers", [])]:
        _copy_blob(source, target, part["digest"])
    headers = {"Content-Type": manifest.headers["Content-Type"]}
    for name in tags or [manifest.headers["Docker-Content-Digest"]]:
        stored = target.send_request(
            "PUT", f"manifests/{name}", data=manifest.content, headers=headers
        )
        stored.raise_for_status()


def _copy_blob(source: RepositoryClient, target: RepositoryClient, digest: str) -> None:
    if target.send_request("HEAD", f"blobs/{digest}").status_code == 200:
        return
    blob = source.send_request("GET", f"blobs/{digest}", stream=True)
    blob.raise_for_status()
    started = target.send_request("POST", "blobs/uploads/")
    started.raise_for_status()
    upload_url = requests.compat.urljoin(started.url, started.headers["Location"])
    url = f"{upload_url}{'&' if '?' in upload_url else '?'}digest={digest}"
    headers = {"Content-Type": "application/octet-stream"}
    target.send_request(
        "PUT", url, data=blob.iter_content(CHUNK), headers=headers
    ).raise_for_status()
