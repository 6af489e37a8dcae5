"""The content of about.json in an image: facts for the server, and how the image was built."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from pathlib import Path

import docker

from deploy import kinds
from deploy.build import lock_files
from deploy.build.base_image import BaseImage
from deploy.core.entities import Flow

PACKER_PACKAGE = "promptflow-devkit"


def create_about(
    flow: Flow, tag: str, revision: str, built_with: dict[str, str | int]
) -> dict[str, object]:
    """Return the content of about.json, for the server and for users.

    `built_with` is from `collect_build_metadata`.
    """
    names = {"flow": flow.name, "tag": tag, "commit": revision}
    return {**names, **select_declared(flow), "built_with": built_with}


def select_declared(definition: Flow) -> dict[str, object]:
    """Return the settings of deploy.yaml that the container needs, without values of secrets.

    Connections name the variables that hold their values.
    """
    return {
        "kind": definition.kind,
        "scorer": kinds.get(definition.kind).scorer,
        "entry": definition.entry,
        "connections": {name: dict(value) for name, value in definition.connections.items()},
        "init": dict(definition.init),
        "pictures": {
            "urls": list(definition.pictures.urls),
            "private": definition.pictures.private,
        },
    }


def collect_build_metadata(
    client: docker.DockerClient, definition: Flow, base: BaseImage, base_layers: int, builder: str
) -> dict[str, str | int]:
    """Return the tools and inputs of a build, which cannot be determined from the image later.

    They do not affect the content tag.
    """
    return {
        "python": definition.image.python,
        "base_id": base.id,
        "base_layers": base_layers,
        "requirements_lock": _hash_file(definition.folder / lock_files.LOCK),
        "pack_lock": _hash_file(lock_files.PACK_LOCK),
        PACKER_PACKAGE: _read_packer_version(),
        "uv": importlib.metadata.version("uv"),
        "docker": str(client.version()["Version"]),
        "builder": builder,
    }


def _read_packer_version() -> str:
    """Return the version of promptflow that packs flows, from the lock of its tools."""
    match = re.search(
        rf"^{PACKER_PACKAGE}==(\S+)", lock_files.PACK_LOCK.read_text(encoding="utf-8"), re.M
    )
    return match[1] if match else ""


def _hash_file(path: Path) -> str:
    # With the algorithm as prefix: the secret scan would report a bare hash as a possible secret.
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
