"""Pull an image from a registry: into the engine, or as files without an engine."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors

from deploy.core import progress
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.docker import engine, image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.docker.pull import PullError, PullFailure, pull
from deploy.registry import manifests
from deploy.registry.image_repository import ImageRepository


def pull_image(client: docker.DockerClient, remote: ImageRepository, image: Image) -> None:
    """Pull `image` into the engine, unless it is there already. Raises `DeployError`.

    The engine gets the credentials with this request and does not store them.
    """
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


@contextlib.contextmanager
def download_image(remote: ImageRepository, image: Image) -> Iterator[ImageArchive]:
    """Yield `image` as files in a temporary folder. Raises `DeployError`."""
    location = remote.registry.where
    manifest = remote.get_manifest(image.digest or "")
    if manifest is None:
        raise DeployError(location, f"{image.pinned} no longer exists", "push the image again")
    data = remote.get_platform_manifest(manifest, image.platform)
    layers = [manifests.read_digest(layer, location) for layer in data.get("layers") or ()]
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as folder:
        path = Path(folder) / "image.tar"
        # In the format of Docker's classic store, except that layers are compressed.
        content = [{"Config": image.id, "RepoTags": None, "Layers": layers}]
        with progress.phase("read", image.pinned), tarfile.open(path, "w") as archive:
            image_archive.add_member(
                archive, image_archive.MANIFEST, io.BytesIO(json.dumps(content).encode())
            )
            config = remote.registry.get_blob(remote.repository, image.id)
            image_archive.add_member(archive, image.id, io.BytesIO(config))
            # An image may contain a layer twice.
            for layer in dict.fromkeys(layers):
                with tempfile.TemporaryFile() as file:
                    remote.registry.download_blob(remote.repository, layer, file)
                    image_archive.add_member(archive, layer, file)
        yield image_archive.read(path, image.platform)
