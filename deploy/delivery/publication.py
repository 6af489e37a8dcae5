"""Push a flow's image to a registry, or verify the one there; attach SBOM and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker

from deploy.build import flow_image
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core import git, progress
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference
from deploy.docker import engine, image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.registry import image_repository, pull, push, referrers
from deploy.registry.image_repository import ImageRepository
from deploy.supply_chain import provenance, sbom
from deploy.supply_chain.image_verification import comparison, records
from deploy.supply_chain.secret_scan import known_secrets, scanner

# Remembers layers in which the scan found no pattern of a secret.
SCAN_CACHE = Path(".build/secret_scan")
TAG_CONFLICT_HINT = (
    "another client pushed it: find out which one, delete that tag, and run the command again; "
    "or use --trust-registry, if you trust every client that can push to this registry"
)
ATTACHMENT_TYPES = (*(kind for _, kind in sbom.DOCUMENTS.values()), provenance.MEDIA_TYPE)


def open_publication(project: Project, spec: AnySpec) -> Publication:
    """Return the publication of the flow in the registry of its environment."""
    repository = image_repository.open_repository(spec)
    secrets = known_secrets.collect_secrets(project)
    return Publication(repository, spec.flow, secrets, project.root)


@dataclass(frozen=True)
class Publication:
    """The publication of a flow's images in a registry. Every method may raise `DeployError`."""

    repository: ImageRepository
    flow: Flow
    # Names and values that no image may contain.
    secrets: Mapping[str, str] = field(repr=False)
    root: Path

    def push_image(self, client: docker.DockerClient, built: Image) -> Image:
        """Push `built`, which the registry does not have; return the published image.

        After a failure either nothing was pushed, or the next attempt continues with what was.
        """
        repository = self.repository
        with image_archive.save_image(client, built.id, built.platform) as archive:
            self._scan_archive(archive)
            push.push(client, built.id, repository.registry, repository.name, built.tag)
            published = self._read_published_image(built.tag)
            # Compared by the digest of the configuration: the engine's id may be the digest of a
            # manifest (containerd), and the pushed manifest may differ from the engine's (podman
            # compresses layers again).
            if published.id == archive.config_digest:
                records.add(records.VERIFIED, self.flow.name, published)
                self._push_attachments(archive, published)
                return published
        # Another machine pushed at the same time, and the tag is for its image.
        message = f"another machine pushed at the same time: the tag is now {published.digest}"
        progress.note("push", message)
        self.verify_image(client, built, published)
        self.attach_missing(published)
        return published

    def verify_image(self, client: docker.DockerClient, built: Image, published: Image) -> None:
        """Compare `published` with `built`, scan it for secrets, and record it as verified.

        Its labels prove nothing: every client that may push can write them.
        """
        pull.pull_image(client, self.repository, published)
        with progress.phase("verify", f"{published.pinned} against a build on this machine"):
            differences = comparison.find_differences(client, built.id, published.pinned)
        if differences:
            difference_lines = "".join(f"\n    {difference}" for difference in differences)
            message = (
                f"the tag {published.tag} is {published.digest}; a build of the flow's files "
                f"differs:{difference_lines}"
            )
            raise DeployError(self.repository.name, message, TAG_CONFLICT_HINT)
        # Saved by name: not every engine finds an image by the digest of its configuration.
        with image_archive.save_image(client, published.pinned, published.platform) as archive:
            if archive.config_digest != published.id:
                message = (
                    f"in the engine, {published.pinned} refers to another image than {published.id}"
                )
                hint = "remove that image from the engine, and run the command again"
                raise DeployError(self.repository.name, message, hint)
            self._scan_archive(archive)
        records.add(records.VERIFIED, self.flow.name, published)

    def scan_image(self, published: Image) -> None:
        """Scan `published` in the registry once on this machine. Needs no engine."""
        kinds = (records.VERIFIED, records.SCANNED)
        if any(records.has(kind, self.flow.name, published) for kind in kinds):
            return
        with pull.download_image(self.repository, published) as archive:
            self._scan_archive(archive)
        records.add(records.SCANNED, self.flow.name, published)

    def attach_missing(self, published: Image) -> None:
        """Attach the documents that an interrupted push did not; do nothing if all are attached.

        `published` must be verified. The documents describe what the same files build here, because
        the labels of an image that another machine pushed may name any source and commit.
        """
        attached_types = referrers.list_types(self.repository, published.digest or "")
        if set(ATTACHMENT_TYPES) <= attached_types:
            return
        client = engine.connect()
        built = flow_image.build(client, self.flow, self.root, engine.find_endpoint())
        with image_archive.save_image(client, built.id, built.platform) as archive:
            self._push_attachments(archive, published)

    def _scan_archive(self, archive: ImageArchive) -> None:
        with progress.phase("scan", "searching layers, variables, labels and history for secrets"):
            scanner.refuse_secrets(archive, self.flow, self.secrets, self.root / SCAN_CACHE)

    def _read_published_image(self, tag: str) -> Image:
        """Return the image that the tag in the registry refers to now.

        Its digest is the one to deploy. The digest that the engine reports is not used: not every
        engine reports one, and it is not the tag's if another machine pushed at the same time.
        """
        published = self.repository.find(self.flow, tag)
        if published is None:
            message = f"{self.repository.name}:{tag} does not exist, although the push succeeded"
            hint = "check whether a retention policy of the registry removes it"
            raise DeployError(self.repository.registry.where, message, hint)
        return published

    def _push_attachments(self, archive: ImageArchive, published: Image) -> None:
        """Attach SBOM and provenance, made from `archive`, to `published`."""
        with progress.phase("sbom", "packages and provenance"):
            documents = (
                *sbom.make(archive, published),
                provenance.make(published, archive, self.flow, self.root),
            )
        subject = self.repository.get_manifest(published.digest or "")
        if subject is None:
            message = f"{published.pinned} no longer exists"
            raise DeployError(self.repository.registry.where, message, "run `inv push` again")
        with progress.phase("attach", ", ".join(document.kind for document in documents)):
            referrers.attach_documents(self.repository, subject, documents)


def write_image_reference(root: Path, flow: Flow, published: Image) -> None:
    """Write the file that the next step of a pipeline reads."""
    path = image_reference.write(root, flow.name, published, git.read_commit(root))
    progress.note("artifact", f"{path.relative_to(root)}  {published.pinned}")
