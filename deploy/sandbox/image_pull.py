"""Pull an image with a resource's identity, through the registry's public API.

Documented: "Authentication and authorization for online endpoints" (AcrPull of the endpoint's
identity), "Use a custom container in Azure App Service" (of the app's). Recorded: a pull that the
identity may not do is denied minutes after the request.
"""

from __future__ import annotations

from collections.abc import Mapping

import docker.errors
import requests

from deploy.sandbox.acr import Acr
from deploy.sandbox.acr_tokens import AUDIENCE
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.engine import Engine
from deploy.sandbox.identities import Directory, Identity
from deploy.sandbox.image_copy import MANIFEST_MEDIA_TYPES

SECONDS = 60


class PullDeniedError(Exception):
    """No identity has permission to pull the image."""


class ImageUnavailableError(Exception):
    """The image does not exist or cannot be reached; the message has the reason."""


def find_registry(registries: Mapping[str, Acr], server: str) -> Acr | None:
    """Return the registry with this host and port, None if there is none."""
    return next((acr for acr in registries.values() if acr.login_server == server), None)


class ImagePuller:
    """Pulls images from the emulated registries."""

    def __init__(
        self,
        engine: Engine,
        authority: CertificateAuthority,
        directory: Directory,
        registries: Mapping[str, Acr],
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._registries = registries
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = str(authority.bundle)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def pull(self, image: str, identities: list[Identity]) -> str:
        """Return the id of `image`. Raise `PullDeniedError` or `ImageUnavailableError`."""
        name, _, digest = image.partition("@")
        server, _, repository = name.partition("/")
        acr = find_registry(self._registries, server)
        if acr is None:
            raise ImageUnavailableError(f"there is no registry {server}")
        reference = digest
        if not digest:
            repository, _, reference = repository.partition(":")
        try:
            for identity in identities:
                token = self.refresh_token(acr, identity)
                manifest_digest = self._digest(acr, repository, reference or "latest", token)
                if manifest_digest is not None:
                    break
            else:
                raise PullDeniedError
            if not manifest_digest:
                raise ImageUnavailableError("manifest unknown")
            return self._engine.pull(f"{server}/{repository}@{manifest_digest}", token)
        except (requests.RequestException, docker.errors.APIError) as error:
            raise ImageUnavailableError(str(error)) from None

    def refresh_token(self, acr: Acr, identity: Identity) -> str:
        """Return the refresh token with which an identity signs in to a registry."""
        form = {
            "grant_type": "access_token",
            "service": acr.login_server,
            "access_token": self._directory.issue(identity, AUDIENCE),
        }
        answer = self._http.post(f"{acr.server.url}/oauth2/exchange", data=form, timeout=SECONDS)
        answer.raise_for_status()
        return str(answer.json()["refresh_token"])

    def _digest(self, acr: Acr, repository: str, reference: str, refresh: str) -> str | None:
        """Return the image's digest, an empty text if there is no such image, None if denied.

        The engine does not ask the registry for images it has, so a denied pull could succeed
        there.
        """
        form = {
            "grant_type": "refresh_token",
            "service": acr.login_server,
            "scope": f"repository:{repository}:pull",
            "refresh_token": refresh,
        }
        answer = self._http.post(f"{acr.server.url}/oauth2/token", data=form, timeout=SECONDS)
        answer.raise_for_status()
        headers = {
            "Authorization": f"Bearer {answer.json()['access_token']}",
            "Accept": MANIFEST_MEDIA_TYPES,
        }
        url = f"{acr.server.url}/v2/{repository}/manifests/{reference}"
        answer = self._http.head(url, headers=headers, timeout=SECONDS)
        if answer.status_code in (401, 403):
            return None
        if answer.status_code == 404:
            return ""
        answer.raise_for_status()
        return str(answer.headers["Docker-Content-Digest"])
