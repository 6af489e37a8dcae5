"""The very same digest from one registry to another: by Azure's import, or by the OCI wire."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from deploy import console
from deploy.errors import DeployError
from deploy.model import Flow, Image
from deploy.registry import acr, oci, referrers
from deploy.registry.oci import Manifest, Registry
from deploy.registry.remote import Remote
from deploy.schema import PlaceModel

Say = Callable[[str], None]


def promote(
    flow: Flow, digest: str, source: Remote, target: Remote, places: tuple[PlaceModel, PlaceModel]
) -> Image:
    """Return the image `digest` as `target` has it, copied there from `source` if need be.

    An index is copied whole; documents about the image go with it. `places` are those of the two
    environments. Raises `DeployError`; a tag that is of something else is not overwritten.
    """
    wanted = source.find(flow, digest)
    if wanted is None:
        what = f"{source.name}@{digest} is not there"
        raise DeployError(source.registry.where, what, "`inv push` to that environment first")
    there = target.find(flow, digest)
    if there is None:
        tag = _free_tag(target, flow, wanted)
        if not acr.imported(source, target, wanted, tag, places):
            _copy(source, target, digest, tag)
        there = target.find(flow, digest)
    if there is None or there.id != wanted.id:
        what = f"{target.name}@{digest} did not arrive"
        raise DeployError(target.registry.where, what, "run it again")
    if source.name != target.name:
        _copy_documents(source, target, digest)
    return there


def _free_tag(target: Remote, flow: Flow, wanted: Image) -> str:
    """Return a tag for the image, so that no clean-up of what has none takes it.

    Its content tag; with its digest where another image of the same content has that already.
    """
    known = target.find(flow, wanted.tag)
    digest = (wanted.digest or "").partition(":")[2]
    return f"{wanted.tag}-{digest[:12]}" if known else wanted.tag


def _copy(source: Remote, target: Remote, digest: str, tag: str) -> None:
    with console.phase("promote", f"{source.name} → {target.name}:{tag}") as phase:
        count = _copy_manifest(source, target, digest, tag, phase.now)
        phase.result = f"{count / 1e6:.1f} MB"


def _copy_manifest(source: Remote, target: Remote, digest: str, reference: str, say: Say) -> int:
    """Copy a manifest, and first all that it names. Return how many bytes of blobs went over."""
    manifest = _get(source, digest)
    data = manifest.data
    sent = 0
    for inner in data.get("manifests") or ():
        part = oci.named(inner, source.registry.where)
        sent += _copy_manifest(source, target, part, part, say)
    for blob in [*filter(None, [data.get("config")]), *(data.get("layers") or ())]:
        sent += _copy_blob(source, target, blob, say)
    target.registry.put_manifest(target.repository, reference, manifest)
    return sent


def _copy_blob(source: Remote, target: Remote, blob: dict[str, Any], say: Say) -> int:
    """Copy a configuration, layer or document. Return how many bytes went over the wire."""
    digest, size = oci.named(blob, source.registry.where), int(blob["size"])
    say(f"{digest[7:19]}  {size / 1e6:.1f} MB")
    if target.registry.has_blob(target.repository, digest):
        return 0
    if _same(source.registry, target.registry) and target.registry.mount(
        target.repository, digest, source.repository
    ):
        return 0
    # On disk: a layer may be larger than this machine's memory.
    with tempfile.TemporaryFile() as file:
        source.registry.download(source.repository, digest, file)
        target.registry.upload(target.repository, digest, file, size)
    return size


def _copy_documents(source: Remote, target: Remote, digest: str) -> None:
    """Copy what refers to the image: Azure's import leaves it behind."""
    present = {d["digest"] for d in target.registry.referrers(target.repository, digest)}
    for entry in source.registry.referrers(source.repository, digest):
        document = oci.named(entry, source.registry.where)
        if document in present:
            continue
        manifest = _get(source, document)
        for blob in [manifest.data["config"], *manifest.data["layers"]]:
            _copy_blob(source, target, blob, lambda _: None)
        referrers.put(target.registry, target.repository, digest, manifest)


def _get(remote: Remote, digest: str) -> Manifest:
    found = remote.registry.manifest(remote.repository, digest)
    if found is None:
        what = f"{remote.name}@{digest}, which another manifest names, is not there"
        raise DeployError(remote.registry.where, what, "push the image again")
    return found


def _same(one: Registry, other: Registry) -> bool:
    return one.server == other.server
