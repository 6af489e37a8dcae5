"""Small images in the form that `docker save` writes, without an engine."""

from __future__ import annotations

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


def write(path: Path, layers: Sequence[bytes], config: Mapping[str, Any] = CLEAN) -> ImageArchive:
    """Write an image of `layers` to `path`, and return it as the tool reads it."""
    digests = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in layers]
    whole = {**config, "rootfs": {"type": "layers", "diff_ids": digests}}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
    files = dict(zip(names, layers, strict=True))
    texts = {"config.json": json.dumps(whole), "manifest.json": json.dumps(manifest)}
    path.write_bytes(layer({**files, **texts}))
    return image_archive.read(path)
