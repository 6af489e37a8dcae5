"""A built image as files: what `docker save` writes, layer by layer."""

from __future__ import annotations

import contextlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors

from deploy.docker import engine
from deploy.errors import DeployError


@dataclass(frozen=True)
class Layer:
    """One layer: `digest` is that of its uncompressed tar archive (its diff id)."""

    digest: str
    archive: Path
    member: str

    @contextlib.contextmanager
    def open(self) -> Iterator[tarfile.TarFile]:
        """Yield the layer as a tar archive, to be read once from its beginning to its end.

        A file that a layer deletes is in it as an empty file `.wh.‹name›`.
        """
        with tarfile.open(self.archive) as outer:
            content = outer.extractfile(self.member)
            if content is None:
                raise DeployError(str(self.archive), f"{self.member} is no file")
            with tarfile.open(fileobj=content, mode="r|*") as inner:
                yield inner


@dataclass(frozen=True)
class ImageArchive:
    """An image in the file `path` (`docker-archive:` for tools), its configuration and layers.

    `config` is the OCI image configuration: `config` (Env, User, Labels, …), `history`, `rootfs`.
    """

    path: Path
    config: dict[str, Any]
    layers: tuple[Layer, ...]


@contextlib.contextmanager
def saved(client: docker.DockerClient, image_id: str) -> Iterator[ImageArchive]:
    """Yield the image `image_id` of the engine as files in a temporary folder.

    Raises `DeployError` where the engine does not have it.
    """
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as folder:
        path = Path(folder) / "image.tar"
        with engine.explained("reading the image"), path.open("wb") as file:
            for chunk in client.images.get(image_id).save():
                file.write(chunk)
        yield read(path)


def read(path: Path) -> ImageArchive:
    """Return the one image of an archive that `docker save` wrote."""
    with tarfile.open(path) as archive:
        manifest = _json(archive, "manifest.json")[0]
        config = _json(archive, manifest["Config"])
    digests = config["rootfs"]["diff_ids"]
    members = manifest["Layers"]
    layers = [Layer(d, path, m) for d, m in zip(digests, members, strict=True)]
    return ImageArchive(path, config, tuple(layers))


def _json(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    if file is None:
        raise DeployError("docker save", f"{name} is missing")
    return json.loads(file.read())
