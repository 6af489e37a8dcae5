"""Manifests, indexes and digests (OCI Image Specification 1.1)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from deploy.core.errors import DeployError

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = (INDEX_TYPE, DOCKER_INDEX_TYPE)
DIGEST = re.compile("sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, byte for byte as the registry has it."""

    digest: str
    media_type: str
    content: bytes

    @property
    def data(self) -> dict[str, Any]:
        """Return the parsed document."""
        document: dict[str, Any] = json.loads(self.content)
        return document

    @property
    def descriptor(self) -> dict[str, Any]:
        """Return the descriptor by which other manifests refer to this one."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


def compute_digest(content: bytes) -> str:
    """Return the digest of `content`: `sha256:…`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read_digest(descriptor: Any, location: str) -> str:
    """Return the digest in `descriptor`, a part of a manifest of the registry `location`.

    Raises `DeployError` for any other value: as a part of a URL it could lead anywhere.
    """
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise DeployError(
            location, "a manifest has an entry without a valid digest", "push the image again"
        )
    return digest


def create_manifest(data: dict[str, Any]) -> Manifest:
    """Return `data` as a manifest; the same data give the same bytes."""
    content = json.dumps(data, separators=(",", ":"), sort_keys=True).encode()
    return Manifest(compute_digest(content), str(data["mediaType"]), content)


def get_fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of `digest` if there is no API for it.

    OCI Distribution Specification, "Unavailable Referrers API".
    """
    return digest.replace(":", "-")
