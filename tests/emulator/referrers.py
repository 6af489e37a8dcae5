"""The referrers API, which Distribution 2.8 lacks and Azure Container Registry has.

Documented: OCI Distribution Specification 1.1, "Listing Referrers" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"


class Referrers:
    """Which manifests refer to which, as far as they were pushed here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def note(self, repository: str, content: bytes, media_type: str) -> str:
        """Remember a manifest that was stored; return the digest of its subject, if it has one."""
        data: dict[str, Any] = json.loads(content)
        subject: str = (data.get("subject") or {}).get("digest", "")
        if not subject:
            return ""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        kind = data.get("artifactType") or (data.get("config") or {}).get("mediaType")
        found = {"mediaType": media_type, "digest": digest, "size": len(content)}
        if kind:
            found["artifactType"] = kind
        if data.get("annotations"):
            found["annotations"] = data["annotations"]
        with self._lock:
            self._known.setdefault((repository, subject), {})[digest] = found
        return subject

    def forget(self, repository: str, digest: str) -> None:
        """A manifest was deleted."""
        with self._lock:
            for (name, _), known in self._known.items():
                if name == repository:
                    known.pop(digest, None)

    def clear(self) -> None:
        """Forget all, as if nothing had been attached yet."""
        with self._lock:
            self._known.clear()

    def index(self, repository: str, subject: str, kind: str | None) -> dict[str, Any]:
        """Return the index of what refers to `subject`; only artifacts of the type `kind`, if given."""
        with self._lock:
            found = list(self._known.get((repository, subject), {}).values())
        if kind:
            found = [one for one in found if one.get("artifactType") == kind]
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
