"""Documents that go with an image in a registry: OCI referrers, in two ways that registries know.

OCI Image Specification 1.1, "Guidelines for Artifact Usage", and the Distribution Specification,
"Pushing Manifests with Subject".
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from deploy.errors import DeployError
from deploy.model import Attachment
from deploy.registry import oci
from deploy.registry.oci import Manifest, Registry

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
ATTEMPTS = 5


def attached(registry: Registry, repository: str, digest: str) -> list[dict[str, Any]]:
    """Return for each attached document its kind, media type, digest and size in bytes."""
    rows = []
    for descriptor in registry.referrers(repository, digest):
        manifest = registry.manifest(repository, oci.named(descriptor, registry.where))
        for layer in manifest.data["layers"] if manifest else ():
            kind = (layer.get("annotations") or {}).get(TITLE, "")
            row = {"kind": kind, "type": layer["mediaType"]}
            rows.append({**row, "digest": layer["digest"], "size": layer["size"]})
    return rows


def types(registry: Registry, repository: str, digest: str) -> set[str]:
    """Return the media types of the documents that are attached to the manifest `digest`."""
    return {str(d.get("artifactType")) for d in registry.referrers(repository, digest)}


def attach(
    registry: Registry, repository: str, subject: Manifest, documents: Sequence[Attachment]
) -> None:
    """Attach `documents` to `subject`; what is attached already by its type is left as it is."""
    present = types(registry, repository, subject.digest)
    for document in documents:
        if document.type in present:
            continue
        manifest = manifest_of(subject, document)
        _store(registry, repository, EMPTY)
        _store(registry, repository, document.content)
        put(registry, repository, subject.digest, manifest)


def put(registry: Registry, repository: str, subject: str, manifest: Manifest) -> None:
    """Store `manifest`, which refers to the digest `subject`, so that it is found by that."""
    if not registry.put_manifest(repository, manifest.digest, manifest):
        _list(registry, repository, subject, manifest)


def _list(registry: Registry, repository: str, subject: str, manifest: Manifest) -> None:
    """Add `manifest` to the index under the tag that takes the place of the referrers API."""
    data = manifest.data
    entry = {
        **manifest.descriptor,
        "artifactType": data["artifactType"],
        "annotations": data.get("annotations") or {},
    }
    tag = oci.fallback_tag(subject)
    for _ in range(ATTEMPTS):
        present = registry.manifest(repository, tag)
        entries = list(present.data["manifests"]) if present else []
        if any(known["digest"] == manifest.digest for known in entries):
            return
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*entries, entry]}
        registry.put_manifest(repository, tag, oci.document(index))
        # Another push may have written it in between, and lost this entry: so look again.
    what = f"the list of documents of {repository}@{subject} is written by others all the time"
    raise DeployError(registry.where, what, "try again")


def manifest_of(subject: Manifest, document: Attachment) -> Manifest:
    """Return the manifest of `document`; the same each time, so it is attached once."""
    empty = {"mediaType": EMPTY_TYPE, "digest": oci.digest_of(EMPTY), "size": len(EMPTY)}
    layer = {
        "mediaType": document.type,
        "digest": oci.digest_of(document.content),
        "size": len(document.content),
        "annotations": {TITLE: document.kind},
    }
    return oci.document(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "artifactType": document.type,
            "config": empty,
            "layers": [layer],
            "subject": subject.descriptor,
        }
    )


def _store(registry: Registry, repository: str, content: bytes) -> None:
    digest = oci.digest_of(content)
    if not registry.has_blob(repository, digest):
        registry.upload(repository, digest, io.BytesIO(content), len(content))
