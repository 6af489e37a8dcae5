"""A built image as files: what `docker save` writes on any engine, layer by layer.

Docker's classic store and podman save plain layers, named by `manifest.json`. With the containerd
image store the archive is an OCI layout, too: its layers are compressed, and it may have several
platforms and attestations. `saved` makes the plain form of that, which syft reads in half the time.
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

from deploy.docker import engine
from deploy.errors import DeployError

WHERE = "docker save"
MANIFEST = "manifest.json"
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
BLOCK = 8 * 1024 * 1024
# What reading a truncated or damaged layer raises.
BROKEN = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError)


@dataclass(frozen=True)
class Layer:
    """One layer of an image."""

    # Of its uncompressed tar archive (its diff id), however the engine saved it.
    digest: str
    archive: Path
    member: str
    # From 1, at the bottom.
    number: int

    @property
    def name(self) -> str:
        """What messages call it: layer 2."""
        return f"layer {self.number}"

    @contextlib.contextmanager
    def open(self) -> Iterator[tarfile.TarFile]:
        """Yield the layer as a tar archive, to be read once from its beginning to its end.

        A file that a layer deletes is in it as an empty file `.wh.‹name›`.
        """
        with self.stored() as (stored, packed):
            mode = "r|gz" if packed else "r|"
            with tarfile.open(fileobj=stored, mode=mode) as content:  # type: ignore[call-overload]
                yield content

    @contextlib.contextmanager
    def unpacked(self) -> Iterator[IO[bytes]]:
        """Yield the uncompressed tar archive of the layer, which can be read in any order."""
        with self.stored() as (stored, packed):
            if not packed:
                yield stored
                return
            with tempfile.TemporaryFile() as plain, gzip.open(stored) as content:
                shutil.copyfileobj(content, plain, BLOCK)
                plain.seek(0)
                yield plain

    @contextlib.contextmanager
    def stored(self) -> Iterator[tuple[IO[bytes], bool]]:
        """Yield the layer as the engine saved it, and whether it is compressed with gzip.

        Raises `DeployError` for a layer that cannot be read, also while it is being read.
        """
        try:
            with tarfile.open(self.archive) as outer:
                stored = _extracted(outer, self.member, self.name)
                yield stored, _is_packed(stored, self.name)
        except BROKEN as error:
            what = f"it is damaged ({error})"
            raise DeployError(self.name, what, "build the image again") from None


@dataclass(frozen=True)
class ImageArchive:
    """An image in the file `path` (`docker-archive:` for tools), its configuration and layers."""

    path: Path
    # The OCI image configuration: `config` (Env, User, Labels, …), `history`, `rootfs`.
    config: dict[str, Any]
    # SHA-256 of the configuration's bytes. It names the image on every engine and in a registry,
    # while the engine's own id is this digest, or with the containerd store that of a manifest.
    config_digest: str
    layers: tuple[Layer, ...]
    # The member of the archive that is the configuration.
    member: str
    # Whether it has this image in the form of Docker's classic store.
    is_plain: bool


@dataclass(frozen=True)
class _Entry:
    """One image of an archive: the members that are its configuration and its layers."""

    config: str
    layers: tuple[str, ...]
    # Whether it is the one that readers of Docker's form take.
    is_docker: bool

    def fits(self, config: dict[str, Any], platform: str | None) -> bool:
        """Return whether `config` is an image of these layers, for `platform` if that is set."""
        given = f"{config.get('os')}/{config.get('architecture')}"
        diff_ids = (config.get("rootfs") or {}).get("diff_ids") or ()
        return len(diff_ids) == len(self.layers) and platform in (None, given)


@contextlib.contextmanager
def saved(
    client: docker.DockerClient, image: str, platform: str | None = None
) -> Iterator[ImageArchive]:
    """Yield `image` of the engine, an id or a reference, as files in a temporary folder.

    `platform` chooses from an image of several. Raises `DeployError` if the engine lacks it.
    """
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as folder:
        path = Path(folder) / "image.tar"
        with engine.explained("reading the image"), path.open("wb") as file:
            for chunk in client.images.get(image).save():
                file.write(chunk)
        archive = read(path, platform)
        yield archive if archive.is_plain else _plain(archive, path.with_name("plain.tar"))


def read(path: Path, platform: str | None = None) -> ImageArchive:
    """Return the image in an archive that `docker save` wrote, of several that for `platform`."""
    try:
        with tarfile.open(path) as archive:
            return _read(archive, path, platform)
    except (KeyError, TypeError, AttributeError, ValueError, *BROKEN) as error:
        what = f"the archive of the image cannot be read ({type(error).__name__}: {error})"
        raise DeployError(WHERE, what, "build the image again") from None


def _read(archive: tarfile.TarFile, path: Path, platform: str | None) -> ImageArchive:
    members = set(archive.getnames())
    for entry in (*_of_docker(archive, members), *_of_oci(archive, members)):
        # An index may name platforms that the engine does not have.
        if not {entry.config, *entry.layers} <= members:
            continue
        content = _content(archive, entry.config)
        config = json.loads(content)
        if entry.fits(config, platform):
            digests = config["rootfs"]["diff_ids"]
            pairs = enumerate(zip(digests, entry.layers, strict=True), 1)
            layers = tuple(Layer(digest, path, member, n) for n, (digest, member) in pairs)
            name = f"sha256:{hashlib.sha256(content).hexdigest()}"
            is_plain = entry.is_docker and not any(map(_is_compressed, layers))
            return ImageArchive(path, config, name, layers, entry.config, is_plain)
    wanted = f" for {platform}" if platform else ""
    raise DeployError(WHERE, f"the engine saved no image{wanted}", "build the image again")


def _is_compressed(layer: Layer) -> bool:
    with layer.stored() as (_, packed):
        return packed


def _plain(archive: ImageArchive, path: Path) -> ImageArchive:
    """Write `archive` to `path` in the form of Docker's classic store, and remove the original."""
    with tarfile.open(archive.path) as source, tarfile.open(path, "w") as target:
        config = f"{archive.config_digest[7:]}.json"
        add(target, config, io.BytesIO(_content(source, archive.member)))
        names = [f"{layer.number}/layer.tar" for layer in archive.layers]
        for name, layer in zip(names, archive.layers, strict=True):
            with layer.unpacked() as content:
                add(target, name, content)
        manifest = [{"Config": config, "RepoTags": None, "Layers": names}]
        add(target, MANIFEST, io.BytesIO(json.dumps(manifest).encode()))
    archive.path.unlink()
    return read(path)


def add(target: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    """Add the whole of the file `content` as the member `name`."""
    info = tarfile.TarInfo(name)
    info.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    target.addfile(info, content)


def _of_docker(archive: tarfile.TarFile, members: set[str]) -> Iterator[_Entry]:
    """Yield the images of `manifest.json`; of an index the engine puts only one there."""
    if MANIFEST in members:
        for number, entry in enumerate(json.loads(_content(archive, MANIFEST))):
            yield _Entry(entry["Config"], tuple(entry["Layers"] or ()), number == 0)


def _of_oci(archive: tarfile.TarFile, members: set[str]) -> Iterator[_Entry]:
    """Yield the images of an OCI layout, those of nested indexes too, but no attestations."""
    pending = ["index.json"]
    while pending:
        name = pending.pop(0)
        if name not in members:
            continue
        data = json.loads(_content(archive, name))
        if "manifests" in data:
            pending += [_blob(entry) for entry in data["manifests"] if not _is_attestation(entry)]
        elif "config" in data:
            yield _Entry(_blob(data["config"]), tuple(map(_blob, data.get("layers") or ())), False)


def _is_attestation(descriptor: dict[str, Any]) -> bool:
    # "Image attestation storage", BuildKit: a manifest beside that of the image.
    kind = (descriptor.get("annotations") or {}).get("vnd.docker.reference.type")
    return kind == "attestation-manifest"


def _blob(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    return _extracted(archive, name, WHERE).read()


def _extracted(archive: tarfile.TarFile, name: str, where: str) -> IO[bytes]:
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise DeployError(where, f"the engine did not save {name}", "build the image again")
    return file


def _is_packed(stored: IO[bytes], name: str) -> bool:
    """Return whether a layer is compressed with gzip; leave `stored` at its start.

    Raises `DeployError` for what is neither that nor a plain tar archive.
    """
    head = stored.read(512)
    stored.seek(0)
    if head.startswith(GZIP):
        return True
    # An empty tar archive is just zeros.
    if head[257:262] == b"ustar" or not head.strip(b"\0"):
        return False
    how = "with zstd" if head.startswith(ZSTD) else "in an unknown way"
    what = f"it is compressed {how}, and can only be read uncompressed or with gzip"
    raise DeployError(name, what, "use a base image whose layers are compressed with gzip")
