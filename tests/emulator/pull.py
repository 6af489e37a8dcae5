"""Pulls an image with the rights of a resource's identity, over the registry's own wire.

Documented: "Authentication and authorization for online endpoints" (AcrPull of the endpoint's
identity), "Use a custom container in Azure App Service" (of the app's). Recorded: it is by the identity
that a pull is refused, minutes after the request.
"""

from __future__ import annotations

import docker.errors
import requests

from tests.emulator.acr import Acr
from tests.emulator.acr_tokens import AUDIENCE
from tests.emulator.certificates import Authority
from tests.emulator.engine import Engine
from tests.emulator.identities import Directory, Identity
from tests.emulator.image_copy import ACCEPT

SECONDS = 60


class DeniedError(Exception):
    """No identity may pull the image."""


class UnavailableError(Exception):
    """There is no such image, or no way to it; why."""


class Puller:
    """Pulls from the registries that there are, by their login server."""

    def __init__(
        self,
        engine: Engine,
        authority: Authority,
        directory: Directory,
        registries: dict[str, Acr],
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._registries = registries
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = str(authority.bundle)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def pull(self, image: str, identities: list[Identity]) -> str:
        """Return the id of `image`. Raises `DeniedError`, `UnavailableError`."""
        name, _, digest = image.partition("@")
        server, _, repository = name.partition("/")
        acr = next((one for one in self._registries.values() if one.login_server == server), None)
        if acr is None:
            raise UnavailableError(f"there is no registry {server}")
        reference = digest
        if not digest:
            repository, _, reference = repository.partition(":")
        try:
            for identity in identities:
                token = self.refresh_token(acr, identity)
                found = self._digest(acr, repository, reference or "latest", token)
                if found is not None:
                    break
            else:
                raise DeniedError
            if not found:
                raise UnavailableError("manifest unknown")
            return self._engine.pull(f"{server}/{repository}@{found}", token)
        except (requests.RequestException, docker.errors.APIError) as error:
            raise UnavailableError(str(error)) from None

    def refresh_token(self, acr: Acr, identity: Identity) -> str:
        """Return what an identity logs in to a registry with."""
        form = {
            "grant_type": "access_token",
            "service": acr.login_server,
            "access_token": self._directory.issue(identity, AUDIENCE),
        }
        answer = self._http.post(f"{acr.server.url}/oauth2/exchange", data=form, timeout=SECONDS)
        answer.raise_for_status()
        return str(answer.json()["refresh_token"])

    def _digest(self, acr: Acr, repository: str, reference: str, refresh: str) -> str | None:
        """Return the digest, nothing where there is no such image, None where it is denied.

        The engine skips the registry for what it knows, so that a denied pull could succeed.
        """
        form = {
            "grant_type": "refresh_token",
            "service": acr.login_server,
            "scope": f"repository:{repository}:pull",
            "refresh_token": refresh,
        }
        answer = self._http.post(f"{acr.server.url}/oauth2/token", data=form, timeout=SECONDS)
        answer.raise_for_status()
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}", "Accept": ACCEPT}
        url = f"{acr.server.url}/v2/{repository}/manifests/{reference}"
        answer = self._http.head(url, headers=headers, timeout=SECONDS)
        if answer.status_code in (401, 403):
            return None
        if answer.status_code == 404:
            return ""
        answer.raise_for_status()
        return str(answer.headers["Docker-Content-Digest"])
