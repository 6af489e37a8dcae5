"""Pull an image from a registry into the engine, with credentials for this request only."""

from __future__ import annotations

import docker
import docker.errors

from deploy.core import progress
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.docker import engine
from deploy.docker.pull import PullError, PullFailure, pull
from deploy.registry.image_repository import ImageRepository


def pull_image(client: docker.DockerClient, remote: ImageRepository, image: Image) -> None:
    """Pull `image` from the registry unless the engine has it. Raises `DeployError`."""
    operation = f"pulling {image.pinned}"
    with engine.translate_errors(operation):
        try:
            client.images.get(image.pinned)
            return
        except docker.errors.ImageNotFound:
            pass
        auth = remote.registry.login.credentials().to_auth_config()
        try:
            with progress.phase("pull", image.pinned) as phase:
                pull(client, image.pinned, image.platform, auth, phase.update)
        except PullError as error:
            if error.reason is PullFailure.DENIED:
                server, repository = remote.registry.server, remote.repository
                raise remote.registry.login.explain_denial(server, repository, push=False) from None
            raise DeployError("Docker", f"{operation}: {error.text}", "try again") from None
