"""Small images in the format of `docker save`."""

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

CREATED = "2026-01-02T03:04:05.123456789Z"


def make(
    path: Path,
    layers: Sequence[Mapping[str, str]],
    labels: Mapping[str, str] | None = None,
    history: Sequence[Mapping[str, Any]] = (),
) -> ImageArchive:
    """Write an image of `layers`, each the text of its files by path, and read it."""
    tars = [_tar({name: text.encode() for name, text in layer.items()}) for layer in layers]
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {"Labels": dict(labels or {})},
        "history": list(history),
        "rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]},
    }
    names = [f"{number}/layer.tar" for number in range(len(tars))]
    manifest = [{"Config": "config.json", "Layers": names}]
    files = {
        "manifest.json": json.dumps(manifest).encode(),
        "config.json": json.dumps(config).encode(),
        **dict(zip(names, tars, strict=True)),
    }
    path.write_bytes(_tar(files))
    return image_archive.read(path)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
