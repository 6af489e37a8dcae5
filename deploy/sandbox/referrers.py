"""The referrers API, which Azure Container Registry has and Distribution 2.8 lacks.

Documented: OCI Distribution Specification 1.1, "Listing Referrers" and "Pushing Manifests with
Subject".
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"


class Referrers:
    """The manifests pushed here that refer to a subject."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def add_manifest(self, repository: str, content: bytes, media_type: str) -> str:
        """Record a stored manifest; return the digest of its subject, empty if it has none."""
        data: dict[str, Any] = json.loads(content)
        subject: str = (data.get("subject") or {}).get("digest", "")
        if not subject:
            return ""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        kind = data.get("artifactType") or (data.get("config") or {}).get("mediaType")
        descriptor = {"mediaType": media_type, "digest": digest, "size": len(content)}
        if kind:
            descriptor["artifactType"] = kind
        if data.get("annotations"):
            descriptor["annotations"] = data["annotations"]
        with self._lock:
            self._known.setdefault((repository, subject), {})[digest] = descriptor
        return subject

    def remove_manifest(self, repository: str, digest: str) -> None:
        """Remove a manifest that was deleted."""
        with self._lock:
            for (name, _), descriptors in self._known.items():
                if name == repository:
                    descriptors.pop(digest, None)

    def clear(self) -> None:
        """Forget all manifests."""
        with self._lock:
            self._known.clear()

    def index(self, repository: str, subject: str, kind: str | None) -> dict[str, Any]:
        """Return the index of referrers of `subject`, with `kind` only artifacts of that type."""
        with self._lock:
            descriptors = list(self._known.get((repository, subject), {}).values())
        if kind:
            descriptors = [
                descriptor for descriptor in descriptors if descriptor.get("artifactType") == kind
            ]
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}
