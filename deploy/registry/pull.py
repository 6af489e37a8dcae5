"""Let the engine have an image of a registry, with the credentials of this call alone."""

from __future__ import annotations

import docker
import docker.errors

from deploy import console
from deploy.docker import engine
from deploy.model import Image
from deploy.registry.remote import Remote


def fetch(client: docker.DockerClient, remote: Remote, found: Image) -> None:
    """Let the engine have the image `found` of the registry. Raises `DeployError`."""
    with engine.explained(f"pulling {found.pinned}"):
        try:
            client.images.get(found.pinned)
        except docker.errors.ImageNotFound:
            given = remote.registry.login.credentials().for_engine()
            with console.phase("pull", found.pinned):
                client.images.pull(found.pinned, platform=found.platform, auth_config=given)
