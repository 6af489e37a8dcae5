"""What an image was built with: recorded while it is built, since it cannot be found out later."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from pathlib import Path

import docker

from deploy import locks
from deploy.build.base_image import Base
from deploy.model import Flow

PACKER = "promptflow-devkit"


def of_build(
    client: docker.DockerClient, definition: Flow, base: Base, base_layers: int, builder: str
) -> dict[str, str | int]:
    """Return `built_with` of about.json. Nothing of it is in the content tag."""
    return {
        "python": definition.image.python,
        "base_id": base.id,
        "base_layers": base_layers,
        "requirements_lock": _sha256(definition.folder / locks.LOCK),
        "pack_lock": _sha256(locks.PACK_LOCK),
        PACKER: _packer(),
        "uv": importlib.metadata.version("uv"),
        "docker": str(client.version()["Version"]),
        "builder": builder,
    }


def _packer() -> str:
    """Return the version that packs: the volume of tools is known by a hash of their lock."""
    found = re.search(rf"^{PACKER}==(\S+)", locks.PACK_LOCK.read_text(encoding="utf-8"), re.M)
    return found[1] if found else ""


def _sha256(path: Path) -> str:
    # With its kind in front: the gate before a push takes bare ones for what they look like.
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
