"""Small images in the forms that `docker save` writes on each engine, without an engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive

CLEAN = {"history": [{"created_by": "COPY . /app"}], "config": {"Env": ["PATH=/usr/bin"]}}
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def layer(files: Mapping[str, bytes | str]) -> bytes:
    """Return a layer with `files`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def digest_of(content: bytes) -> str:
    """Return the digest of a blob, or of a layer that is not compressed."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def write(path: Path, layers: Sequence[bytes], config: Mapping[str, Any] = CLEAN) -> ImageArchive:
    """Write an image as Docker's classic store saves it, and return it as the tool reads it."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
    files = dict(zip(names, layers, strict=True))
    texts = {"config.json": _config(layers, config), "manifest.json": json.dumps(manifest)}
    path.write_bytes(layer({**files, **texts}))
    return image_archive.read(path)


class Layout:
    """An archive as the containerd image store saves it: an OCI layout with compressed layers."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | str] = {"oci-layout": '{"imageLayoutVersion": "1.0.0"}'}

    def add(
        self, layers: Sequence[bytes], config: Mapping[str, Any] = CLEAN, *, missing: bool = False
    ) -> dict[str, Any]:
        """Store an image of one platform, or only its manifest; return its entry of an index."""
        blobs = [gzip.compress(content, mtime=0) for content in layers]
        text = _config(layers, config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"digest": digest_of(text)},
            "layers": [{"digest": digest_of(blob)} for blob in blobs],
        }
        for blob in () if missing else (text, *blobs):
            self.files[_blob(digest_of(blob))] = blob
        platform = {name: config.get(name) for name in ("os", "architecture")}
        return {**self._add_json(MANIFEST, manifest), "platform": platform}

    def add_index(self, *entries: Mapping[str, Any]) -> dict[str, Any]:
        """Store an index; return its entry of another one."""
        return self._add_json(INDEX, {"schemaVersion": 2, "manifests": list(entries)})

    def write(self, path: Path, entry: Mapping[str, Any], docker: Mapping[str, Any] | None) -> Path:
        """Write the archive of `entry`, with `docker` as the image of manifest.json if it has one."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        files = {**self.files, "index.json": json.dumps(index)}
        if docker:
            manifest = json.loads(self.files[_blob(docker["digest"])])
            names = [_blob(one["digest"]) for one in manifest["layers"]]
            saved = {"Config": _blob(manifest["config"]["digest"]), "Layers": names}
            files["manifest.json"] = json.dumps([{**saved, "RepoTags": None}])
        path.write_bytes(layer(files))
        return path

    def _add_json(self, media_type: str, document: Mapping[str, Any]) -> dict[str, Any]:
        content = json.dumps(document).encode()
        self.files[_blob(digest_of(content))] = content
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _config(layers: Sequence[bytes], config: Mapping[str, Any]) -> str:
    rootfs = {"type": "layers", "diff_ids": [digest_of(content) for content in layers]}
    return json.dumps({**config, "rootfs": rootfs})


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
