"""A registry's own language: manifests, blobs and referrers (OCI Distribution Specification 1.1)."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urljoin

import requests

from deploy import login, wire
from deploy.errors import DeployError
from deploy.login import Login

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (INDEX, DOCKER_LIST)
ACCEPT = ", ".join([MANIFEST, DOCKER_MANIFEST, *INDEXES])
CHUNK = 1024 * 1024

Progress = Callable[[int], None]
"""Is told how many bytes more have gone over the wire."""


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


@dataclass
class _Challenge:
    realm: str = ""
    service: str = ""
    basic: bool = False


@dataclass
class Registry:
    """One registry, and who asks. Every method raises `DeployError`."""

    server: str
    login: Login
    _http: requests.Session = field(default_factory=wire.session, repr=False)
    _base: str = ""
    _challenge: _Challenge = field(default_factory=_Challenge)
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False)

    @property
    def where(self) -> str:
        """Its name in messages."""
        return f"registry {self.server}"

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """Return the manifest behind a tag or digest, or None where there is none."""
        response = self._ask("GET", repository, f"manifests/{reference}", accept=ACCEPT)
        if response.status_code == 404:
            return None
        self._expect(response, 200, f"reading {repository}")
        digest = digest_of(response.content)
        wanted = reference if reference.startswith("sha256:") else digest
        if digest != wanted:
            raise DeployError(self.where, f"{repository}@{reference} has other content than its digest")
        return Manifest(digest, response.headers["Content-Type"].partition(";")[0], response.content)

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

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has this blob."""
        return self._ask("HEAD", repository, f"blobs/{digest}", push=True).status_code == 200

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let `repository` have a blob of the repository `source` of this registry, if it may."""
        path = f"blobs/uploads/?mount={digest}&from={source}"
        scopes = [f"repository:{source}:pull"]
        return self._ask("POST", repository, path, push=True, scopes=scopes).status_code == 201

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob, such as a configuration."""
        response = self._ask("GET", repository, f"blobs/{digest}")
        self._expect(response, 200, f"reading {repository}@{digest}")
        if digest_of(response.content) != digest:
            raise DeployError(self.where, f"{repository}@{digest} has other content than its digest")
        return response.content

    def download(self, repository: str, digest: str, target: IO[bytes], progress: Progress) -> None:
        """Write a blob to the empty file `target`; started anew where the connection breaks."""
        wire.patiently(lambda: self._download(repository, digest, target, progress))

    def upload(
        self, repository: str, digest: str, source: IO[bytes], size: int, progress: Progress
    ) -> None:
        """Store the `size` bytes of the file `source`; started anew where the connection breaks."""
        wire.patiently(lambda: self._upload(repository, digest, source, size, progress))

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Return the descriptors of what refers to the manifest `digest`.

        By the referrers API, or where the registry lacks it by the tag that takes its place.
        """
        response = self._ask("GET", repository, f"referrers/{digest}", accept=INDEX)
        if response.status_code == 200:
            return _manifests(response.json())
        listed = self.manifest(repository, fallback_tag(digest))
        return _manifests(listed.data) if listed else []

    def _ask(
        self,
        method: str,
        repository: str,
        path: str,
        *,
        push: bool = False,
        accept: str = "",
        scopes: list[str] | None = None,
        **arguments: Any,
    ) -> requests.Response:
        def once() -> requests.Response:
            return self.request(
                method, self._url(repository, path), repository, push, scopes, accept, **arguments
            )

        return wire.patiently(once)

    def request(
        self,
        method: str,
        url: str,
        repository: str,
        push: bool,
        scopes: list[str] | None = None,
        accept: str = "",
        **arguments: Any,
    ) -> requests.Response:
        """Send one request with a token for `repository`, renewed once where it has run out."""
        actions = "pull,push" if push else "pull"
        wanted = [f"repository:{repository}:{actions}", *(scopes or [])]
        headers = {**arguments.pop("headers", {}), **({"Accept": accept} if accept else {})}
        body = arguments.get("data")
        for renew in (False, True):
            if renew and hasattr(body, "seek"):
                body.seek(0)
            sent = {**headers, **self._authorization(wanted, renew)}
            response = wire.send(self._http, method, url, self.where, headers=sent, **arguments)
            if response.status_code != 401:
                break
        if response.status_code in (401, 403):
            raise self.login.refused(self.server, repository, push)
        return response

    def _url(self, repository: str, path: str) -> str:
        if not self._base:
            self._base, self._challenge = self._find()
        return f"{self._base}/v2/{repository}/{path}"

    def _find(self) -> tuple[str, _Challenge]:
        """Return the address of the registry, and how it wants to be asked."""
        base = f"https://{self.server}"
        try:
            response = wire.patiently(lambda: self._ping(base))
        except DeployError as error:
            # As the docker command does: a registry on this machine may do without TLS.
            if not wire.is_loopback(base) or "does not speak TLS" not in str(error):
                raise
            base = f"http://{self.server}"
            response = wire.patiently(lambda: self._ping(base))
        if response.status_code == 200:
            return base, _Challenge()
        if response.status_code != 401:
            what = f"this is no registry: /v2/ answers {response.status_code}"
            raise DeployError(self.where, what, "correct `registry` in environments.yaml")
        kind, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if kind.lower() == "basic":
            return base, _Challenge(basic=True)
        return base, _Challenge(given.get("realm", ""), given.get("service", ""))

    def _ping(self, base: str) -> requests.Response:
        return wire.send(self._http, "GET", f"{base}/v2/", self.where)

    def _authorization(self, scopes: list[str], renew: bool) -> dict[str, str]:
        if self._challenge.basic:
            known = self.login.credentials()
            made = requests.Request("GET", self._base, auth=(known.username, known.password))
            return {"Authorization": str(made.prepare().headers["Authorization"])}
        if not self._challenge.realm:
            return {}
        key = " ".join(scopes)
        token, until = self._tokens.get(key, ("", 0.0))
        if renew or time.monotonic() > until:
            token, until = self._token(scopes)
            self._tokens[key] = token, until
        return {"Authorization": f"Bearer {token}"}

    def _token(self, scopes: list[str]) -> tuple[str, float]:
        """Return an access token and until when it is used ("Token Authentication", Distribution)."""
        known = self.login.credentials()
        about = {"service": self._challenge.service, "scope": scopes}
        realm = self._challenge.realm
        if known.refresh_token:
            form = {**about, "grant_type": "refresh_token", "refresh_token": known.refresh_token}
            form["client_id"] = "flow-deploy"
            response = wire.send(self._http, "POST", realm, self.where, data=form)
        else:
            basic = (known.username, known.password) if known.username else None
            response = wire.send(self._http, "GET", realm, self.where, params=about, auth=basic)
        if response.status_code in (400, 401, 403):
            repository = scopes[0].split(":")[1]
            raise self.login.refused(self.server, repository, scopes[0].endswith("push"))
        self._expect(response, 200, "logging in")
        data = response.json()
        lifetime = float(data.get("expires_in") or 60)
        return str(data.get("access_token") or data["token"]), time.monotonic() + lifetime * 0.8

    def _download(
        self, repository: str, digest: str, target: IO[bytes], progress: Progress
    ) -> None:
        target.seek(0)
        target.truncate()
        url = self._url(repository, f"blobs/{digest}")
        response = self.request("GET", url, repository, False, stream=True)
        self._expect(response, 200, f"reading {repository}@{digest}")
        found = hashlib.sha256()
        try:
            for chunk in response.iter_content(CHUNK):
                found.update(chunk)
                target.write(chunk)
                progress(len(chunk))
        except requests.RequestException:
            raise wire.Transient(self.where, "the answer broke off") from None
        if f"sha256:{found.hexdigest()}" != digest:
            raise wire.Transient(self.where, f"{digest} came with other content")
        target.seek(0)

    def _upload(
        self, repository: str, digest: str, source: IO[bytes], size: int, progress: Progress
    ) -> None:
        source.seek(0)
        start = self._url(repository, "blobs/uploads/")
        response = self.request("POST", start, repository, True)
        self._expect(response, 202, f"writing to {repository}")
        place = urljoin(start, response.headers["Location"])
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        body = _Counted(source, size, progress)
        headers = {"Content-Type": "application/octet-stream"}
        response = self.request("PUT", url, repository, True, data=body, headers=headers)
        self._expect(response, 201, f"writing to {repository}")

    def _expect(self, response: requests.Response, status: int, doing: str) -> None:
        if response.status_code != status:
            what = f"{doing}: it answered {response.status_code} {login.reason(response.text)}"
            raise DeployError(self.where, what)


class _Counted:
    """A file that tells how much was read of it. Its length makes requests send it as it is."""

    def __init__(self, source: IO[bytes], size: int, progress: Progress) -> None:
        self._source, self._size, self._progress = source, size, progress

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self._progress(len(chunk))
        return chunk

    def seek(self, position: int) -> int:
        return self._source.seek(position)


def digest_of(content: bytes) -> str:
    """Return the digest of `content`: `sha256:…`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def document(data: dict[str, Any]) -> Manifest:
    """Return `data` as a manifest, written the same way each time."""
    content = json.dumps(data, separators=(",", ":"), sort_keys=True).encode()
    return Manifest(digest_of(content), str(data["mediaType"]), content)


def fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of `digest` where there is no API for it.

    OCI Distribution Specification, "Unavailable Referrers API".
    """
    return digest.replace(":", "-")


def _manifests(index: dict[str, Any]) -> list[dict[str, Any]]:
    return list(index.get("manifests") or [])
