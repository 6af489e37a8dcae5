"""What an image was built with: written down while it is built, as nobody can tell it later."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from pathlib import Path

import docker

from deploy import locks
from deploy.build.base_image import Base
from deploy.model import Flow

# A label of the packages' layer, which images on it inherit: it may be older than they are.
LABEL_UV = "flow-deploy.uv"
PACKER = "promptflow-devkit"


def of_build(client: docker.DockerClient, definition: Flow, base: Base) -> dict[str, str]:
    """Return `built_with` of about.json. Nothing of it is in the content tag."""
    return {
        "python": definition.image.python,
        "base_id": base.id,
        "requirements_lock": _sha256(definition.folder / locks.LOCK),
        "pack_lock": _sha256(locks.PACK_LOCK),
        PACKER: _packer(),
        "docker": str(client.version()["Version"]),
    }


def labels_of_packages() -> dict[str, str]:
    """Return the labels of a packages' layer that is being made."""
    return {LABEL_UV: importlib.metadata.version("uv")}


def _packer() -> str:
    """Return the version that packs: the volume of tools is known by a hash of their lock."""
    found = re.search(rf"^{PACKER}==(\S+)", locks.PACK_LOCK.read_text(encoding="utf-8"), re.M)
    return found[1] if found else ""


def _sha256(path: Path) -> str:
    # With its kind in front: the gate before a push takes bare ones for what they look like.
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
