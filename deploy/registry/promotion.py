"""Copy an image by digest to another registry: with Azure's import, or through this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from deploy.core import progress
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.registry import acr, manifests, referrers
from deploy.registry.image_repository import ImageRepository
from deploy.registry.manifests import Manifest

ProgressCallback = Callable[[str], None]


def promote(flow: Flow, digest: str, source: ImageRepository, target: ImageRepository) -> Image:
    """Return the image `digest` as `target` has it; copy it there from `source` if necessary.

    An index is copied as a whole; documents about the image are copied, too. A tag that belongs to
    another image is not overwritten. Raises `DeployError`.
    """
    source_image = source.find(flow, digest)
    if source_image is None:
        message = f"{source.name}@{digest} does not exist"
        raise DeployError(
            source.registry.where, message, "publish it to that environment first: `inv push`"
        )
    target_image = target.find(flow, digest)
    if target_image is None:
        tag = _choose_tag(target, flow, source_image)
        if not acr.import_image(source, target, source_image, tag):
            _copy_image(source, target, digest, tag)
        target_image = target.find(flow, digest)
    if target_image is None or target_image.id != source_image.id:
        message = f"{target.name}@{digest} does not exist after the copy"
        raise DeployError(target.registry.where, message, "run the command again")
    if source.name != target.name:
        _copy_documents(source, target, digest)
    return target_image


def _choose_tag(target: ImageRepository, flow: Flow, image: Image) -> str:
    """Return a tag for the image, so that no clean-up of untagged images removes it.

    This is its content tag, with its digest added if another image with the same content has that
    tag.
    """
    existing = target.find(flow, image.tag)
    digest = (image.digest or "").partition(":")[2]
    return f"{image.tag}-{digest[:12]}" if existing else image.tag


def _copy_image(source: ImageRepository, target: ImageRepository, digest: str, tag: str) -> None:
    with progress.phase("promote", f"{source.name} → {target.name}:{tag}") as phase:
        count = _copy_manifest(source, target, digest, tag, phase.update)
        phase.result = f"{count / 1e6:.1f} MB"


def _copy_manifest(
    source: ImageRepository,
    target: ImageRepository,
    digest: str,
    reference: str,
    update: ProgressCallback,
) -> int:
    """Copy a manifest after everything that it refers to. Return the bytes of blobs sent."""
    manifest = _get_manifest(source, digest)
    data = manifest.data
    sent = 0
    for inner in data.get("manifests") or ():
        part_digest = manifests.read_digest(inner, source.registry.where)
        sent += _copy_manifest(source, target, part_digest, part_digest, update)
    for blob in [*filter(None, [data.get("config")]), *(data.get("layers") or ())]:
        sent += _copy_blob(source, target, blob, update)
    target.registry.put_manifest(target.repository, reference, manifest)
    return sent


def _copy_blob(
    source: ImageRepository, target: ImageRepository, blob: dict[str, Any], update: ProgressCallback
) -> int:
    """Copy a configuration, layer or document. Return the number of bytes sent."""
    digest, size = manifests.read_digest(blob, source.registry.where), int(blob["size"])
    update(f"{digest[7:19]}  {size / 1e6:.1f} MB")
    if target.registry.has_blob(target.repository, digest):
        return 0
    is_same_registry = source.registry.server == target.registry.server
    if is_same_registry and target.registry.mount_blob(
        target.repository, digest, source.repository
    ):
        return 0
    # On disk: a layer may be larger than this machine's memory.
    with tempfile.TemporaryFile() as file:
        source.registry.download_blob(source.repository, digest, file)
        target.registry.upload_blob(target.repository, digest, file, size)
    return size


def _copy_documents(source: ImageRepository, target: ImageRepository, digest: str) -> None:
    """Copy the documents that refer to the image: Azure's import does not copy them."""
    present = {d["digest"] for d in target.list_referrers(digest)}
    for entry in source.list_referrers(digest):
        document_digest = manifests.read_digest(entry, source.registry.where)
        if document_digest in present:
            continue
        manifest = _get_manifest(source, document_digest)
        for blob in [manifest.data["config"], *manifest.data["layers"]]:
            _copy_blob(source, target, blob, lambda _: None)
        referrers.put_referrer(target, digest, manifest)


def _get_manifest(remote: ImageRepository, digest: str) -> Manifest:
    manifest = remote.get_manifest(digest)
    if manifest is None:
        message = f"{remote.name}@{digest}, to which another manifest refers, does not exist"
        raise DeployError(remote.registry.where, message, "push the image again")
    return manifest
