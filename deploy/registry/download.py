"""An image of a registry as files, read without an engine."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy import console
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.errors import DeployError
from deploy.model import Image
from deploy.registry import oci
from deploy.registry.remote import Remote


@contextlib.contextmanager
def downloaded(remote: Remote, found: Image) -> Iterator[ImageArchive]:
    """Yield the image `found` as files in a temporary folder. Raises `DeployError`."""
    where = remote.registry.where
    manifest = remote.registry.manifest(remote.repository, found.digest or "")
    if manifest is None:
        raise DeployError(where, f"{found.pinned} has gone", "push it again")
    data = remote.of_platform(manifest, found.platform)
    layers = [oci.named(layer, where) for layer in data.get("layers") or ()]
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as folder:
        path = Path(folder) / "image.tar"
        # In the form of Docker's classic store, but that layers are compressed.
        content = [{"Config": found.id, "RepoTags": None, "Layers": layers}]
        with console.phase("read", found.pinned), tarfile.open(path, "w") as archive:
            image_archive.add(
                archive, image_archive.MANIFEST, io.BytesIO(json.dumps(content).encode())
            )
            config = remote.registry.blob(remote.repository, found.id)
            image_archive.add(archive, found.id, io.BytesIO(config))
            # An image may have a layer twice.
            for layer in dict.fromkeys(layers):
                with tempfile.TemporaryFile() as file:
                    remote.registry.download(remote.repository, layer, file)
                    image_archive.add(archive, layer, file)
        yield image_archive.read(path, found.platform)
