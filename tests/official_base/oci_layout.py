"""An OCI image layout in a folder: layers, manifests and indexes, written and pushed without an engine."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from deploy.registry.login import DockerLogin
from deploy.registry.manifests import INDEX_TYPE, MANIFEST_TYPE, Manifest, compute_digest
from deploy.registry.oci import Registry

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
IN_TOTO = "application/vnd.in-toto+json"
# Half the time of zlib's own choice, for a few percent more.
LEVEL = 3
CREATED = "2025-05-20T00:00:00Z"
# Debian's newest packages are younger; a layer of an official image has nothing younger than itself.
CREATED_SECONDS = 1747699200

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """A layer in the layout: `diff_id` is the digest of its uncompressed content."""

    descriptor: Descriptor
    diff_id: str
    created_by: str


class Layout:
    """A folder of blobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"

    @property
    def index(self) -> Manifest:
        """The image's own index, the one that a tag names."""
        entry = json.loads((self.folder / "index.json").read_text("utf-8"))["manifests"][0]
        return Manifest(entry["digest"], INDEX_TYPE, self._path(entry["digest"]).read_bytes())

    def blob(self, digest: str) -> bytes:
        """Return the content of a blob."""
        return self._path(digest).read_bytes()

    def add(self, media_type: str, content: bytes) -> Descriptor:
        """Store a blob, and return its descriptor."""
        digest = compute_digest(content)
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._path(digest).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def add_json(self, media_type: str, document: Mapping[str, Any]) -> Descriptor:
        """Store a document, indented as Docker's tools write it."""
        return self.add(media_type, json.dumps(document, indent=2).encode())

    def adopt(self, path: Path, digest: str) -> int:
        """Move a finished file to its place among the blobs; return its size."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        path.rename(self._path(digest))
        return self._path(digest).stat().st_size

    def finish(self, index: Mapping[str, Any]) -> None:
        """Store the image's index, and the files that make a layout of the folder."""
        entry = self.add_json(INDEX_TYPE, index)
        top = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
        (self.folder / "index.json").write_text(json.dumps(top), "utf-8")
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', "utf-8")

    def push(self, server: str, repository: str, tag: str) -> str:
        """Push the image to a registry that needs no credentials; return the digest of its index."""
        registry = Registry(server, DockerLogin(server))
        for entry in self.index.data["manifests"]:
            content = self.blob(entry["digest"])
            manifest = Manifest(entry["digest"], entry["mediaType"], content)
            for part in (manifest.data["config"], *manifest.data["layers"]):
                self._push_blob(registry, repository, part)
            registry.put_manifest(repository, manifest.digest, manifest)
        registry.put_manifest(repository, tag, self.index)
        return self.index.digest

    def _push_blob(self, registry: Registry, repository: str, part: Descriptor) -> None:
        if not registry.has_blob(repository, part["digest"]):
            with self._path(part["digest"]).open("rb") as content:
                registry.upload_blob(repository, part["digest"], content, part["size"])

    def _path(self, digest: str) -> Path:
        return self._blobs / digest.partition(":")[2]


class LayerWriter:
    """Writes one layer: entries come with the folders above them, as Docker's own layers have them."""

    def __init__(
        self, layout: Layout, created_by: str, folders: Mapping[str, tarfile.TarInfo]
    ) -> None:
        self._layout = layout
        self._created_by = created_by
        self._folders = folders
        self._written: set[str] = set()
        with tempfile.NamedTemporaryFile(dir=layout.folder, delete=False) as file:
            self._path = Path(file.name)
        self._compressed = _Hashed(self._path.open("wb"))
        gzipped = gzip.GzipFile("", "wb", LEVEL, cast("IO[bytes]", self._compressed), mtime=0)
        self._plain = _Hashed(gzipped)
        self._tar = tarfile.open(mode="w|", fileobj=cast("IO[bytes]", self._plain))  # noqa: SIM115

    def add(self, name: str, member: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        """Add an entry of an archive under another name."""
        self._add_parents(name)
        if name in self._written:
            return
        self._written.add(name)
        entry = copy.copy(member)
        entry.name = name
        entry.uname = entry.gname = ""
        entry.mtime = min(int(member.mtime), CREATED_SECONDS)
        entry.pax_headers = {}
        self._tar.addfile(entry, content)

    def add_file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file that no archive has."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(content), mode, CREATED_SECONDS
        self.add(name, entry, io.BytesIO(content))

    def add_link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
        entry.mtime = CREATED_SECONDS
        self.add(name, entry)

    def add_folder(self, name: str, mode: int, owner: int = 0) -> None:
        """Add a folder of an owner."""
        entry = _folder()
        entry.mode, entry.uid, entry.gid = mode, owner, owner
        self.add(name, entry)

    def finish(self) -> Layer:
        """Store the layer among the layout's blobs."""
        self._tar.close()
        self._plain.close()
        self._compressed.close()
        size = self._layout.adopt(self._path, self._compressed.digest)
        descriptor = {"mediaType": LAYER, "digest": self._compressed.digest, "size": size}
        return Layer(descriptor, self._plain.digest, self._created_by)

    def _add_parents(self, name: str) -> None:
        parent = name.rpartition("/")[0]
        if parent and parent not in self._written:
            self.add(parent, self._folders.get(parent) or _folder())


class _Hashed:
    """A file to write to, and the digest of what was written."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, content: bytes) -> int:
        self._hash.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _folder() -> tarfile.TarInfo:
    entry = tarfile.TarInfo()
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, CREATED_SECONDS
    return entry


def add_manifest(
    layout: Layout,
    architecture: str,
    settings: Mapping[str, Any],
    layers: Sequence[Layer],
    history: Sequence[Mapping[str, Any]],
) -> Descriptor:
    """Store an image for one platform; return its entry of an index."""
    platform = {"architecture": architecture, "os": "linux"}
    if architecture == "arm64":
        platform["variant"] = "v8"
    config = {
        **platform,
        "config": settings,
        "created": CREATED,
        "history": list(history),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": layout.add_json(CONFIG, config),
        "layers": [layer.descriptor for layer in layers],
    }
    return {**layout.add_json(MANIFEST_TYPE, manifest), "platform": platform}


def add_attestation(layout: Layout, image: Descriptor, statement: Mapping[str, Any]) -> Descriptor:
    """Store an in-toto statement about an image as BuildKit does; return its entry of the index.

    https://docs.docker.com/build/metadata/attestations/attestation-storage/
    """
    predicate = {"in-toto.io/predicate-type": statement["predicateType"]}
    layer = layout.add_json(IN_TOTO, statement)
    nowhere = {"architecture": "unknown", "os": "unknown"}
    # Attestations are not compressed, so the digest of the layer is that of its content, too.
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": layout.add_json(CONFIG, {**nowhere, "config": {}, "rootfs": rootfs}),
        "layers": [{**layer, "annotations": predicate}],
    }
    annotations = {
        "vnd.docker.reference.digest": image["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    return {
        **layout.add_json(MANIFEST_TYPE, manifest),
        "platform": nowhere,
        "annotations": annotations,
    }
