"""Download an image from a registry as files, without an engine."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.core import progress
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.registry import oci
from deploy.registry.image_repository import ImageRepository


@contextlib.contextmanager
def download_image(remote: ImageRepository, image: Image) -> Iterator[ImageArchive]:
    """Yield `image` as files in a temporary folder. Raises `DeployError`."""
    location = remote.registry.where
    manifest = remote.registry.get_manifest(remote.repository, image.digest or "")
    if manifest is None:
        raise DeployError(location, f"{image.pinned} has gone", "push it again")
    data = remote.get_platform_manifest(manifest, image.platform)
    layers = [oci.read_digest(layer, location) for layer in data.get("layers") or ()]
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
