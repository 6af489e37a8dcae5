"""Let the engine have an image of a registry, with the credentials of this call alone."""

from __future__ import annotations

import docker
import docker.errors

from deploy import console
from deploy.docker import engine
from deploy.docker.pull import PullError, Reason, pull
from deploy.errors import DeployError
from deploy.model import Image
from deploy.registry.remote import Remote


def fetch(client: docker.DockerClient, remote: Remote, found: Image) -> None:
    """Let the engine have the image `found` of the registry. Raises `DeployError`."""
    doing = f"pulling {found.pinned}"
    with engine.explained(doing):
        try:
            client.images.get(found.pinned)
            return
        except docker.errors.ImageNotFound:
            pass
        auth = remote.registry.login.credentials().for_engine()
        try:
            with console.phase("pull", found.pinned) as phase:
                pull(client, found.pinned, found.platform, auth, phase.now)
        except PullError as error:
            if error.reason is Reason.DENIED:
                server, repository = remote.registry.server, remote.repository
                raise remote.registry.login.refused(server, repository, push=False) from None
            raise DeployError("Docker", f"{doing}: {error.text}", "try again") from None
