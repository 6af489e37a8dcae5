"""A registry's own language (OCI Distribution Specification 1.1): manifests, blobs, referrers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests

from deploy import wire
from deploy.errors import DeployError
from deploy.registry import login
from deploy.registry.bearer import Bearer
from deploy.registry.login import Login

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (INDEX, DOCKER_LIST)
ACCEPT = ", ".join([MANIFEST, DOCKER_MANIFEST, *INDEXES])
CHUNK = 1024 * 1024
DIGEST = re.compile("sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, as the registry has it, byte for byte."""

    digest: str
    media_type: str
    content: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The document."""
        found: dict[str, Any] = json.loads(self.content)
        return found

    @property
    def descriptor(self) -> dict[str, Any]:
        """What others refer to it by."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


class Registry:
    """One registry, and who asks. Every method raises `DeployError`."""

    def __init__(self, server: str, who: Login) -> None:
        self.server = server
        self.login = who
        self.where = f"registry {server}"
        self._http = wire.session()
        self._bearer = Bearer(server, who, self._http)

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """Return the manifest behind a tag or digest, or None where there is none."""
        response = self._ask(
            "GET", repository, f"manifests/{reference}", headers={"Accept": ACCEPT}
        )
        if response.status_code == 404:
            return None
        self._expect(response, 200, f"reading {repository}")
        wire.document(response.content, self.where)
        digest = digest_of(response.content)
        wanted = reference if reference.startswith("sha256:") else digest
        if digest != wanted:
            raise DeployError(
                self.where, f"{repository}@{reference} has other content than its digest"
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return Manifest(digest, kind, response.content)

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Store `manifest` under a tag or its digest.

        Return whether the registry keeps track of its subject (the header OCI-Subject).
        """
        response = self._ask(
            "PUT",
            repository,
            f"manifests/{reference}",
            push=True,
            data=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )
        self._expect(response, 201, f"writing {repository}:{reference}")
        return "OCI-Subject" in response.headers

    def ask_to_push(self, repository: str) -> None:
        """Return if who asks may push to `repository`; raise `DeployError` otherwise.

        It begins an upload, which registries forget after a while: to end it needs one more right.
        """
        response = self._ask("POST", repository, "blobs/uploads/", push=True)
        self._expect(response, 202, f"writing to {repository}")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has this blob."""
        return self._ask("HEAD", repository, f"blobs/{digest}", push=True).status_code == 200

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let `repository` have a blob of the repository `source` of this registry, if it may."""
        path = f"blobs/uploads/?mount={digest}&from={source}"
        also = (f"repository:{source}:pull",)
        return self._ask("POST", repository, path, push=True, also=also).status_code == 201

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob, such as a configuration."""
        response = self._ask("GET", repository, f"blobs/{digest}")
        self._expect(response, 200, f"reading {repository}@{digest}")
        if digest_of(response.content) != digest:
            raise DeployError(
                self.where, f"{repository}@{digest} has other content than its digest"
            )
        return response.content

    def download(self, repository: str, digest: str, target: IO[bytes]) -> None:
        """Write a blob to the empty file `target`; started anew where the connection breaks."""
        wire.patiently(lambda: self._download(repository, digest, target))

    def upload(self, repository: str, digest: str, source: IO[bytes], size: int) -> None:
        """Store the `size` bytes of the file `source`; started anew where the connection breaks."""
        wire.patiently(lambda: self._upload(repository, digest, source, size))

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Return the descriptors of what refers to the manifest `digest`.

        By the referrers API, or where the registry lacks it by the tag that takes its place.
        """
        response = self._ask("GET", repository, f"referrers/{digest}", headers={"Accept": INDEX})
        if response.status_code == 200:
            return _manifests(wire.document(response.content, self.where))
        listed = self.manifest(repository, fallback_tag(digest))
        return _manifests(listed.data) if listed else []

    def _ask(self, method: str, repository: str, path: str, **arguments: Any) -> requests.Response:
        return wire.patiently(
            lambda: self._request(method, self._url(repository, path), repository, **arguments)
        )

    def _request(
        self,
        method: str,
        url: str,
        repository: str,
        *,
        push: bool = False,
        also: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> requests.Response:
        """Send one request with a token for `repository`, renewed once where it has run out.

        `also` are scopes that the token has besides. Raises `wire.Transient`, too.
        """
        scopes = (f"repository:{repository}:{'pull,push' if push else 'pull'}", *also)
        for renew in (False, True):
            if renew and isinstance(arguments.get("data"), _Sized):
                arguments["data"].seek(0)
            sent = {**(headers or {}), **self._bearer.headers(scopes, renew)}
            response = wire.send(self._http, method, url, self.where, headers=sent, **arguments)
            if response.status_code != 401:
                break
        if "invalid_token" in response.headers.get("WWW-Authenticate", ""):
            what = "it does not accept the token that it has just issued"
            raise DeployError(self.where, what, "is the clock of this machine right?")
        if response.status_code in (401, 403):
            raise self.login.refused(self.server, repository, push)
        return response

    def _url(self, repository: str, path: str) -> str:
        return f"{self._bearer.base}/v2/{repository}/{path}"

    def _download(self, repository: str, digest: str, target: IO[bytes]) -> None:
        target.seek(0)
        target.truncate()
        url = self._url(repository, f"blobs/{digest}")
        response = self._request("GET", url, repository, stream=True)
        self._expect(response, 200, f"reading {repository}@{digest}")
        found = hashlib.sha256()
        try:
            for chunk in response.iter_content(CHUNK):
                found.update(chunk)
                target.write(chunk)
        except requests.RequestException:
            raise wire.Transient(self.where, "the answer broke off") from None
        if f"sha256:{found.hexdigest()}" != digest:
            raise wire.Transient(self.where, f"{digest} came with other content")
        target.seek(0)

    def _upload(self, repository: str, digest: str, source: IO[bytes], size: int) -> None:
        source.seek(0)
        start = self._url(repository, "blobs/uploads/")
        response = self._request("POST", start, repository, push=True)
        self._expect(response, 202, f"writing to {repository}")
        place = urljoin(start, response.headers.get("Location", ""))
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        body = _Sized(source, size)
        headers = {"Content-Type": "application/octet-stream"}
        if _origin(place) == _origin(start):
            response = self._request("PUT", url, repository, push=True, data=body, headers=headers)
        elif urlsplit(place).scheme == "https":
            # A token is for the host that was asked.
            response = wire.send(self._http, "PUT", url, self.where, data=body, headers=headers)
        else:
            what = f"it wants uploads to go without TLS to {urlsplit(place).netloc}"
            hint = "behind a proxy, let the registry know its own address"
            raise DeployError(self.where, what, hint)
        self._expect(response, 201, f"writing to {repository}")

    def _expect(self, response: requests.Response, status: int, doing: str) -> None:
        if response.status_code != status:
            what = f"{doing}: it answered {response.status_code} {login.reason(response.text)}"
            raise DeployError(self.where, what)


class _Sized:
    """A file whose length is known: requests sends it in parts, and not in chunks."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._size = source, size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)

    def seek(self, position: int) -> int:
        return self._source.seek(position)


def digest_of(content: bytes) -> str:
    """Return the digest of `content`: `sha256:…`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def named(descriptor: Any, where: str) -> str:
    """Return the digest in `descriptor`, a part of a manifest of the registry `where`.

    Raises `DeployError` for all else: as a part of an address it could lead to any other place.
    """
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise DeployError(where, "a manifest names something by no digest", "push the image again")
    return digest


def document(data: dict[str, Any]) -> Manifest:
    """Return `data` as a manifest, written the same way each time."""
    content = json.dumps(data, separators=(",", ":"), sort_keys=True).encode()
    return Manifest(digest_of(content), str(data["mediaType"]), content)


def fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of `digest` where there is no API for it.

    OCI Distribution Specification, "Unavailable Referrers API".
    """
    return digest.replace(":", "-")


def _origin(url: str) -> tuple[str, str | None, int]:
    """Return scheme, host and port: an address may name the port that goes without saying."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80}.get(parts.scheme, 443)


def _manifests(index: dict[str, Any]) -> list[dict[str, Any]]:
    return list(index.get("manifests") or [])
