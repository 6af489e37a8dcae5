"""A built image as files: the archive that `docker save` writes on any engine, layer by layer.

Docker's classic store and podman save uncompressed layers that `manifest.json` names. With the
containerd image store the archive is an OCI layout, too: its layers are compressed, and it may have
several platforms and attestations. `save_image` converts that to the uncompressed form, which syft
reads in half the time.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors

from deploy.core.errors import DeployError
from deploy.docker import engine

WHERE = "docker save"
MANIFEST = "manifest.json"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
BLOCK = 8 * 1024 * 1024
# The exceptions that a truncated or damaged layer causes.
READ_ERRORS = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError)


@dataclass(frozen=True)
class Layer:
    """One layer of an image."""

    # The digest of the uncompressed tar archive (the diff id), also for a compressed layer.
    digest: str
    archive: Path
    member: str
    # The position from the bottom, starting at 1.
    number: int

    @property
    def name(self) -> str:
        """The name of the layer in messages: layer 2."""
        return f"layer {self.number}"

    @contextlib.contextmanager
    def open(self) -> Iterator[tarfile.TarFile]:
        """Yield the layer as a tar archive that can be read once, from start to end.

        A deleted file is an empty file `.wh.‹name›` in the layer.
        """
        with self.open_stored() as (stored, packed):
            mode = "r|gz" if packed else "r|"
            with tarfile.open(fileobj=stored, mode=mode) as content:  # type: ignore[call-overload]
                yield content

    @contextlib.contextmanager
    def open_unpacked(self) -> Iterator[IO[bytes]]:
        """Yield the uncompressed tar archive of the layer, which can be read in any order."""
        with self.open_stored() as (stored, packed):
            if not packed:
                yield stored
                return
            with tempfile.TemporaryFile() as plain, gzip.open(stored) as content:
                shutil.copyfileobj(content, plain, BLOCK)
                plain.seek(0)
                yield plain

    @contextlib.contextmanager
    def open_stored(self) -> Iterator[tuple[IO[bytes], bool]]:
        """Yield the layer as the engine saved it, and whether it is compressed with gzip.

        Raises `DeployError` for a layer that cannot be read, also while it is being read.
        """
        try:
            with tarfile.open(self.archive) as outer:
                stored = _extract_member(outer, self.member, self.name)
                yield stored, _is_gzip(stored, self.name)
        except READ_ERRORS as error:
            message = f"it is damaged ({error})"
            raise DeployError(self.name, message, "build the image again") from None


@dataclass(frozen=True)
class ImageArchive:
    """An image in the form of `docker save` (for tools: `docker-archive:`)."""

    path: Path
    # The OCI image configuration: `config` (Env, User, Labels, …), `history`, `rootfs`.
    config: dict[str, Any]
    # SHA-256 of the configuration's bytes. It identifies the image on every engine and in a
    # registry. An engine's own id is this digest, or the manifest's with the containerd store.
    config_digest: str
    layers: tuple[Layer, ...]
    # The member of the archive that holds the configuration.
    member: str
    # Whether the archive holds this image in the form of Docker's classic store.
    is_plain: bool


@dataclass(frozen=True)
class _Entry:
    """One image in an archive."""

    # The members of the archive that hold the configuration and the layers.
    config: str
    layers: tuple[str, ...]
    # Whether tools that read Docker's form use this image.
    is_docker: bool

    def matches(self, config: dict[str, Any], platform: str | None) -> bool:
        """Return whether `config` fits these layers, and `platform` unless that is None."""
        config_platform = f"{config.get('os')}/{config.get('architecture')}"
        diff_ids = (config.get("rootfs") or {}).get("diff_ids") or ()
        return len(diff_ids) == len(self.layers) and platform in (None, config_platform)


@contextlib.contextmanager
def save_image(
    client: docker.DockerClient, image: str, platform: str | None = None
) -> Iterator[ImageArchive]:
    """Yield `image` (an id or a reference) of the engine as files in a temporary folder.

    `platform` selects one image of a multi-platform image. Raises `DeployError` if the engine does
    not have the image.
    """
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as folder:
        path = Path(folder) / "image.tar"
        with engine.translate_errors("reading the image"), path.open("wb") as file:
            for chunk in client.images.get(image).save():
                file.write(chunk)
        archive = read(path, platform)
        yield archive if archive.is_plain else _write_plain(archive, path.with_name("plain.tar"))


def read(path: Path, platform: str | None = None) -> ImageArchive:
    """Return the image in an archive of `docker save`; of several, the one for `platform`."""
    try:
        with tarfile.open(path) as archive:
            return _read_image(archive, path, platform)
    except (KeyError, TypeError, AttributeError, ValueError, *READ_ERRORS) as error:
        message = f"the archive of the image cannot be read ({type(error).__name__}: {error})"
        raise DeployError(WHERE, message, "build the image again") from None


def _read_image(archive: tarfile.TarFile, path: Path, platform: str | None) -> ImageArchive:
    members = set(archive.getnames())
    for entry in (*_docker_entries(archive, members), *_oci_entries(archive, members)):
        # An index may name platforms whose layers the engine does not have.
        if not {entry.config, *entry.layers} <= members:
            continue
        content = _read_member(archive, entry.config)
        config = json.loads(content)
        if entry.matches(config, platform):
            digests = config["rootfs"]["diff_ids"]
            pairs = enumerate(zip(digests, entry.layers, strict=True), 1)
            layers = tuple(Layer(digest, path, member, n) for n, (digest, member) in pairs)
            name = f"sha256:{hashlib.sha256(content).hexdigest()}"
            is_plain = entry.is_docker and not any(map(_is_compressed, layers))
            return ImageArchive(path, config, name, layers, entry.config, is_plain)
    platform_text = f" for {platform}" if platform else ""
    raise DeployError(WHERE, f"the engine saved no image{platform_text}", "build the image again")


def _is_compressed(layer: Layer) -> bool:
    with layer.open_stored() as (_, packed):
        return packed


def _write_plain(archive: ImageArchive, path: Path) -> ImageArchive:
    """Write `archive` to `path` in the form of Docker's classic store, and remove the original."""
    with tarfile.open(archive.path) as source, tarfile.open(path, "w") as target:
        config = f"{archive.config_digest[7:]}.json"
        add_member(target, config, io.BytesIO(_read_member(source, archive.member)))
        names = [f"{layer.number}/layer.tar" for layer in archive.layers]
        for name, layer in zip(names, archive.layers, strict=True):
            with layer.open_unpacked() as content:
                add_member(target, name, content)
        manifest = [{"Config": config, "RepoTags": None, "Layers": names}]
        add_member(target, MANIFEST, io.BytesIO(json.dumps(manifest).encode()))
    archive.path.unlink()
    return read(path)


def add_member(target: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    """Add the complete file `content` to the archive `target` as the member `name`."""
    info = tarfile.TarInfo(name)
    info.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    target.addfile(info, content)


def _docker_entries(archive: tarfile.TarFile, members: set[str]) -> Iterator[_Entry]:
    """Yield the images of `manifest.json`; it has only one image of a multi-platform image."""
    if MANIFEST in members:
        for number, entry in enumerate(json.loads(_read_member(archive, MANIFEST))):
            yield _Entry(entry["Config"], tuple(entry["Layers"] or ()), number == 0)


def _oci_entries(archive: tarfile.TarFile, members: set[str]) -> Iterator[_Entry]:
    """Yield the images of an OCI layout, including nested indexes, without attestations."""
    pending = ["index.json"]
    while pending:
        name = pending.pop(0)
        if name not in members:
            continue
        data = json.loads(_read_member(archive, name))
        if "manifests" in data:
            pending += [
                _blob_path(entry) for entry in data["manifests"] if not _is_attestation(entry)
            ]
        elif "config" in data:
            yield _Entry(
                _blob_path(data["config"]), tuple(map(_blob_path, data.get("layers") or ())), False
            )


def _is_attestation(descriptor: dict[str, Any]) -> bool:
    # "Image attestation storage", BuildKit: a manifest beside that of the image.
    kind = (descriptor.get("annotations") or {}).get("vnd.docker.reference.type")
    return kind == "attestation-manifest"


def _blob_path(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    return _extract_member(archive, name, WHERE).read()


def _extract_member(archive: tarfile.TarFile, name: str, where: str) -> IO[bytes]:
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise DeployError(where, f"the engine did not save {name}", "build the image again")
    return file


def _is_gzip(stored: IO[bytes], name: str) -> bool:
    """Return whether a layer is compressed with gzip; leave `stored` at its start.

    Raises `DeployError` if it is neither that nor an uncompressed tar archive.
    """
    head = stored.read(512)
    stored.seek(0)
    if head.startswith(GZIP_MAGIC):
        return True
    # An empty tar archive is just zeros.
    if head[257:262] == b"ustar" or not head.strip(b"\0"):
        return False
    how = "with zstd" if head.startswith(ZSTD_MAGIC) else "in an unknown way"
    message = f"it is compressed {how}, and can only be read uncompressed or with gzip"
    raise DeployError(name, message, "use a base image whose layers are compressed with gzip")
