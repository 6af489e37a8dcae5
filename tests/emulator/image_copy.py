"""Copies an image from one emulated registry to another, inside of the service, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import requests

from tests.emulator.acr import Acr

ACCEPT = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)
CHUNK = 1024 * 1024
SECONDS = 60


class NotFoundError(Exception):
    """There is no such manifest in the source."""


class Place:
    """One repository, as the service itself sees it: past the front, with rights of its own."""

    def __init__(self, acr: Acr, repository: str) -> None:
        self._acr = acr
        self.repository = repository
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def digest(self, tag: str) -> str | None:
        """Return which manifest a tag points to."""
        response = self.ask("HEAD", f"manifests/{tag}", accept=ACCEPT)
        return response.headers["Docker-Content-Digest"] if response.status_code == 200 else None

    def ask(self, method: str, path: str, accept: str = "*/*", **rest: Any) -> requests.Response:
        """Send one request about the repository, as it is."""
        token = self._acr.tokens.own(f"repository:{self.repository}:pull,push")
        url = path if "://" in path else f"{self._acr.registry.url}/v2/{self.repository}/{path}"
        headers = {"Authorization": f"Bearer {token}", "Accept": accept, **rest.pop("headers", {})}
        return self._http.request(method, url, headers=headers, timeout=SECONDS, **rest)


def copy(source: Place, reference: str, target: Place, tags: list[str]) -> None:
    """Copy a manifest with all that it is made of; an index with all of its images.

    Recorded (dotnet/docker-tools, pull request 2003): what refers to it is not copied.
    Raises `NotFoundError`.
    """
    manifest = source.ask("GET", f"manifests/{reference}", accept=ACCEPT)
    if manifest.status_code != 200:
        raise NotFoundError(reference)
    data: dict[str, Any] = json.loads(manifest.content)
    for image in data.get("manifests", []):
        copy(source, image["digest"], target, [])
    for part in [*([data["config"]] if "config" in data else []), *data.get("layers", [])]:
        _copy_blob(source, target, part["digest"])
    headers = {"Content-Type": manifest.headers["Content-Type"]}
    for name in tags or [manifest.headers["Docker-Content-Digest"]]:
        stored = target.ask("PUT", f"manifests/{name}", data=manifest.content, headers=headers)
        stored.raise_for_status()


def _copy_blob(source: Place, target: Place, digest: str) -> None:
    if target.ask("HEAD", f"blobs/{digest}").status_code == 200:
        return
    blob = source.ask("GET", f"blobs/{digest}", stream=True)
    blob.raise_for_status()
    started = target.ask("POST", "blobs/uploads/")
    started.raise_for_status()
    place = requests.compat.urljoin(started.url, started.headers["Location"])
    url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
    headers = {"Content-Type": "application/octet-stream"}
    target.ask("PUT", url, data=blob.iter_content(CHUNK), headers=headers).raise_for_status()
