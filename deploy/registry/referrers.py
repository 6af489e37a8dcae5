"""Attach documents to an image in a registry: OCI referrers, by API or by fallback tag.

OCI Image Specification 1.1, "Guidelines for Artifact Usage", and the Distribution Specification,
"Pushing Manifests with Subject".
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from deploy.core.entities import Attachment
from deploy.core.errors import DeployError
from deploy.registry import manifests
from deploy.registry.image_repository import ImageRepository
from deploy.registry.manifests import Manifest

EMPTY_BLOB = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE_ANNOTATION = "org.opencontainers.image.title"
MAX_ATTEMPTS = 5


def list_documents(remote: ImageRepository, digest: str) -> list[dict[str, Any]]:
    """Return kind, media type, digest and size in bytes of each attached document."""
    rows = []
    for descriptor in remote.list_referrers(digest):
        manifest = remote.get_manifest(manifests.read_digest(descriptor, remote.registry.where))
        for layer in manifest.data["layers"] if manifest else ():
            kind = (layer.get("annotations") or {}).get(TITLE_ANNOTATION, "")
            row = {"kind": kind, "type": layer["mediaType"]}
            rows.append({**row, "digest": layer["digest"], "size": layer["size"]})
    return rows


def list_types(remote: ImageRepository, digest: str) -> set[str]:
    """Return the media types of the documents that are attached to the manifest `digest`."""
    return {str(d.get("artifactType")) for d in remote.list_referrers(digest)}


def attach_documents(
    remote: ImageRepository, subject: Manifest, documents: Sequence[Attachment]
) -> None:
    """Attach `documents` to `subject`; skip media types that are attached already."""
    present = list_types(remote, subject.digest)
    for document in documents:
        if document.type in present:
            continue
        manifest = create_manifest(subject, document)
        _upload_blob(remote, EMPTY_BLOB)
        _upload_blob(remote, document.content)
        put_referrer(remote, subject.digest, manifest)


def put_referrer(remote: ImageRepository, subject: str, manifest: Manifest) -> None:
    """Store `manifest` as a referrer of the digest `subject`, listed by API or fallback tag."""
    if not remote.registry.put_manifest(remote.repository, manifest.digest, manifest):
        _add_to_index(remote, subject, manifest)


def _add_to_index(remote: ImageRepository, subject: str, manifest: Manifest) -> None:
    """Add `manifest` to the index under the fallback tag of the referrers API."""
    data = manifest.data
    entry = {
        **manifest.descriptor,
        "artifactType": data["artifactType"],
        "annotations": data.get("annotations") or {},
    }
    tag = manifests.get_fallback_tag(subject)
    for _ in range(MAX_ATTEMPTS):
        index_manifest = remote.get_manifest(tag)
        entries = list(index_manifest.data["manifests"]) if index_manifest else []
        if any(listed["digest"] == manifest.digest for listed in entries):
            return
        index = {
            "schemaVersion": 2,
            "mediaType": manifests.INDEX_TYPE,
            "manifests": [*entries, entry],
        }
        remote.registry.put_manifest(remote.repository, tag, manifests.create_manifest(index))
        # Another push may have overwritten the index and lost this entry, so check again.
    message = f"other clients keep overwriting the list of documents of {remote.name}@{subject}"
    raise DeployError(remote.registry.where, message, "try again")


def create_manifest(subject: Manifest, document: Attachment) -> Manifest:
    """Return the manifest of `document`; equal documents give equal manifests."""
    empty = {
        "mediaType": EMPTY_TYPE,
        "digest": manifests.compute_digest(EMPTY_BLOB),
        "size": len(EMPTY_BLOB),
    }
    layer = {
        "mediaType": document.type,
        "digest": manifests.compute_digest(document.content),
        "size": len(document.content),
        "annotations": {TITLE_ANNOTATION: document.kind},
    }
    return manifests.create_manifest(
        {
            "schemaVersion": 2,
            "mediaType": manifests.MANIFEST_TYPE,
            "artifactType": document.type,
            "config": empty,
            "layers": [layer],
            "subject": subject.descriptor,
        }
    )


def _upload_blob(remote: ImageRepository, content: bytes) -> None:
    digest = manifests.compute_digest(content)
    if not remote.registry.has_blob(remote.repository, digest):
        remote.registry.upload_blob(remote.repository, digest, io.BytesIO(content), len(content))
