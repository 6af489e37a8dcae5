"""Push an image to a registry or verify the one there, and attach SBOM and provenance."""

from __future__ import annotations

from pathlib import Path

import docker

from deploy.build import flow_image
from deploy.core import progress
from deploy.core.entities import Attachment, Flow, Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference
from deploy.docker import engine, image_archive
from deploy.registry import download, pull, push, referrers
from deploy.registry.image_repository import ImageRepository
from deploy.supply_chain import provenance, sbom
from deploy.supply_chain.image_verification import comparison, records
from deploy.supply_chain.secret_scan import scanner

# Remembers layers in which the scan found no pattern of a secret.
SCAN_CACHE = Path(".build/gate")
TAG_CONFLICT_HINT = (
    "another client pushed it: find out which, delete that tag and run this again; "
    "--trust-registry uses it as it is, where you trust all who may push there"
)
ATTACHMENT_TYPES = (*(kind for _, kind in sbom.DOCUMENTS.values()), provenance.MEDIA_TYPE)


def push_image(
    client: docker.DockerClient,
    repository: ImageRepository,
    flow: Flow,
    built: Image,
    hidden: dict[str, str],
    root: Path,
) -> Image:
    """Push `built`, which the registry does not have; return the published image.

    `hidden` maps names to values that the image must not contain. Raise `DeployError` on failure;
    then either nothing was pushed, or the next attempt continues with what was.
    """
    with image_archive.save_image(client, built.id, built.platform) as archive:
        _scan_archive(archive, flow, hidden, root)
        push.push(client, built.id, repository.registry, repository.name, built.tag)
        published = _read_published_image(repository, flow, built.tag)
        # Compared by the digest of the configuration: the engine's id may be the digest of a
        # manifest (containerd), and the pushed manifest may differ from the engine's (podman
        # compresses layers again).
        if published.id == archive.config_digest:
            records.add(records.VERIFIED, flow.name, published)
            _push_attachments(
                repository, published, _create_attachments(archive, published, flow, root)
            )
            return published
    # Another machine pushed at the same time, and the tag is for its image.
    progress.note("push", f"another machine pushed as well: {published.digest} has the tag")
    verify_image(client, repository, flow, built, published, hidden, root)
    attach_missing(repository, flow, published, root)
    return published


def verify_image(
    client: docker.DockerClient,
    repository: ImageRepository,
    flow: Flow,
    built: Image,
    published: Image,
    hidden: dict[str, str],
    root: Path,
) -> None:
    """Compare `published` with `built`, scan it for secrets, and record it as verified.

    Its labels prove nothing: every client that may push can write them. Raise `DeployError` if the
    image has other content, or contains a secret.
    """
    pull.pull_image(client, repository, published)
    with progress.phase("verify", f"{published.pinned} by what this machine builds"):
        differences = comparison.find_differences(client, built.id, published.pinned)
    if differences:
        difference_lines = "".join(f"\n    {difference}" for difference in differences)
        message = (
            f"the tag {published.tag} is {published.digest}, which the flow's files do not build:"
            f"{difference_lines}"
        )
        raise DeployError(repository.name, message, TAG_CONFLICT_HINT)
    # Saved by name: not every engine finds an image by the digest of its configuration.
    with image_archive.save_image(client, published.pinned, published.platform) as archive:
        if archive.config_digest != published.id:
            message = (
                f"the engine has another image than {published.id} by the name {published.pinned}"
            )
            raise DeployError(
                repository.name, message, "remove it from the engine, and run this again"
            )
        _scan_archive(archive, flow, hidden, root)
    records.add(records.VERIFIED, flow.name, published)


def scan_image(
    repository: ImageRepository, flow: Flow, published: Image, hidden: dict[str, str], root: Path
) -> None:
    """Scan `published` in the registry for secrets, once on this machine. Needs no engine."""
    if any(records.has(kind, flow.name, published) for kind in (records.VERIFIED, records.SCANNED)):
        return
    with download.download_image(repository, published) as archive:
        _scan_archive(archive, flow, hidden, root)
    records.add(records.SCANNED, flow.name, published)


def attach_missing(repository: ImageRepository, flow: Flow, published: Image, root: Path) -> None:
    """Attach the documents that an interrupted push did not; do nothing if all are attached.

    `published` must be verified. The documents describe what the same files build here, because the
    labels of an image that another machine pushed may name any source and commit.
    """
    if _has_all_attachments(repository, published):
        return
    client = engine.connect()
    built = flow_image.build(client, flow, root, engine.find_endpoint())
    with image_archive.save_image(client, built.id, built.platform) as archive:
        _push_attachments(
            repository, published, _create_attachments(archive, published, flow, root)
        )


def _has_all_attachments(repository: ImageRepository, published: Image) -> bool:
    attached_types = referrers.list_types(
        repository.registry, repository.repository, published.digest or ""
    )
    return set(ATTACHMENT_TYPES) <= attached_types


def _scan_archive(
    archive: image_archive.ImageArchive, flow: Flow, hidden: dict[str, str], root: Path
) -> None:
    with progress.phase("gate", "no secret in any layer, variable, label or line of history"):
        scanner.refuse_secrets(archive, flow, hidden, root / SCAN_CACHE)


def write_image_reference(root: Path, flow: Flow, published: Image) -> None:
    """Write the file that the next step of a pipeline reads."""
    path = image_reference.write(root, flow.name, published, flow_image.read_commit(root))
    progress.note("artifact", f"{path.relative_to(root)}  {published.pinned}")


def _read_published_image(repository: ImageRepository, flow: Flow, tag: str) -> Image:
    """Return the image that the tag in the registry refers to now.

    Its digest is the one to deploy. The digest that the engine reports is not used: not every
    engine reports one, and it is not the tag's if another machine pushed at the same time.
    """
    published = repository.find(flow, tag)
    if published is None:
        message = f"{repository.name}:{tag} is not there, though its push ended well"
        raise DeployError(
            repository.registry.where, message, "does a rule of the registry remove it?"
        )
    return published


def _create_attachments(
    archive: image_archive.ImageArchive, published: Image, flow: Flow, root: Path
) -> tuple[Attachment, ...]:
    with progress.phase("sbom", "packages and provenance"):
        return (*sbom.make(archive, published), provenance.make(published, archive, flow, root))


def _push_attachments(
    repository: ImageRepository, published: Image, documents: tuple[Attachment, ...]
) -> None:
    document_kinds = ", ".join(document.kind for document in documents)
    subject = repository.registry.get_manifest(repository.repository, published.digest or "")
    if subject is None:
        raise DeployError(
            repository.registry.where, f"{published.pinned} has gone", "push it again"
        )
    with progress.phase("attach", document_kinds):
        referrers.attach_documents(repository.registry, repository.repository, subject, documents)
