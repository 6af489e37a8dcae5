"""One image into one registry: pushed, or found there and verified; its documents attached."""

from __future__ import annotations

from pathlib import Path

import docker

from deploy import artifact, console
from deploy.build import image
from deploy.docker import engine, image_archive
from deploy.errors import DeployError
from deploy.gate import check
from deploy.inside import bom, provenance
from deploy.model import Attachment, Flow, Image
from deploy.registry import download, pull, push, referrers
from deploy.registry.remote import Remote
from deploy.trust import comparison, records

# Layers that were found to hold nothing of the shape of a secret.
GATE = Path(".build/gate")
REFUSED = (
    "another client pushed it: find out which, delete that tag and run this again; "
    "--trust-registry uses it as it is, where you trust all who may push there"
)
DOCUMENTS = (*(kind for _, kind in bom.DOCUMENTS.values()), provenance.TYPE)


def publish(
    client: docker.DockerClient,
    remote: Remote,
    flow: Flow,
    built: Image,
    hidden: dict[str, str],
    root: Path,
) -> Image:
    """Push `built`, which the registry does not have, and return it as it is there.

    `hidden` are names and values that must not be in it. Raises `DeployError`; nothing is pushed
    then, or what was pushed is taken up by the next attempt.
    """
    with image_archive.saved(client, built.id, built.platform) as files:
        _scan(files, flow, hidden, root)
        push.push(client, built.id, remote.registry, remote.name, built.tag)
        published = _arrived(remote, flow, built.tag)
        # By the configuration: the engine's id may be the digest of a manifest (containerd), and a
        # manifest that is pushed need not be the one that the engine has (podman compresses anew).
        if published.id == files.config_digest:
            records.add(records.VERIFIED, flow.name, published)
            _attach(remote, published, _documents(files, published, flow, root))
            return published
    # Another machine pushed at the same time, and has the tag.
    console.note("push", f"another machine pushed as well: {published.digest} has the tag")
    verify(client, remote, flow, built, published, hidden, root)
    complete(remote, flow, published, root)
    return published


def verify(
    client: docker.DockerClient,
    remote: Remote,
    flow: Flow,
    built: Image,
    found: Image,
    hidden: dict[str, str],
    root: Path,
) -> None:
    """Compare `found` in the registry with `built`, scan it for secrets, and record it as known.

    Its labels are no proof: everyone who may push can write them. Raises `DeployError` for an image
    with other content, or with a secret.
    """
    pull.fetch(client, remote, found)
    with console.phase("verify", f"{found.pinned} by what this machine builds"):
        differences = comparison.differences(client, built.id, found.pinned)
    if differences:
        listed = "".join(f"\n    {difference}" for difference in differences)
        what = (
            f"the tag {found.tag} is {found.digest}, which the flow's files do not build:{listed}"
        )
        raise DeployError(remote.name, what, REFUSED)
    # By its name: not every engine knows an image by the digest of its configuration.
    with image_archive.saved(client, found.pinned, found.platform) as files:
        if files.config_digest != found.id:
            what = f"the engine has another image than {found.id} by the name {found.pinned}"
            raise DeployError(remote.name, what, "remove it from the engine, and run this again")
        _scan(files, flow, hidden, root)
    records.add(records.VERIFIED, flow.name, found)


def scan(remote: Remote, flow: Flow, found: Image, hidden: dict[str, str], root: Path) -> None:
    """Scan `found` in the registry for secrets, once on this machine. Needs no engine."""
    if any(records.has(kind, flow.name, found) for kind in (records.VERIFIED, records.SCANNED)):
        return
    with download.downloaded(remote, found) as files:
        _scan(files, flow, hidden, root)
    records.add(records.SCANNED, flow.name, found)


def complete(remote: Remote, flow: Flow, found: Image, root: Path) -> None:
    """Attach what a push that was interrupted did not; nothing where all is there.

    `found` must be verified. The documents are about what the same files build here: labels of an
    image that another machine pushed may name any source and commit.
    """
    if _is_complete(remote, found):
        return
    client = engine.connect()
    built = image.build(client, flow, root, engine.endpoint())
    with image_archive.saved(client, built.id, built.platform) as files:
        _attach(remote, found, _documents(files, found, flow, root))


def _is_complete(remote: Remote, found: Image) -> bool:
    present = referrers.types(remote.registry, remote.repository, found.digest or "")
    return set(DOCUMENTS) <= present


def _scan(
    files: image_archive.ImageArchive, flow: Flow, hidden: dict[str, str], root: Path
) -> None:
    with console.phase("gate", "no secret in any layer, variable, label or line of history"):
        check.refuse_secrets(files, flow, hidden, root / GATE)


def record(root: Path, flow: Flow, published: Image) -> None:
    """Write the file that the next step of a pipeline reads."""
    path = artifact.write(root, flow.name, published, image.commit(root))
    console.note("artifact", f"{path.relative_to(root)}  {published.pinned}")


def _arrived(remote: Remote, flow: Flow, tag: str) -> Image:
    """Return what the registry has under the tag now: its digest is the one that is deployed.

    Not the digest that the engine reports, which not every engine does, and which is not that of
    the tag if another machine pushed at the same time.
    """
    found = remote.find(flow, tag)
    if found is None:
        what = f"{remote.name}:{tag} is not there, though its push ended well"
        raise DeployError(remote.registry.where, what, "does a rule of the registry remove it?")
    return found


def _documents(
    files: image_archive.ImageArchive, published: Image, flow: Flow, root: Path
) -> tuple[Attachment, ...]:
    with console.phase("sbom", "packages and provenance"):
        return (*bom.make(files, published), provenance.make(published, files, flow, root))


def _attach(remote: Remote, published: Image, documents: tuple[Attachment, ...]) -> None:
    kinds = ", ".join(document.kind for document in documents)
    subject = remote.registry.manifest(remote.repository, published.digest or "")
    if subject is None:
        raise DeployError(remote.registry.where, f"{published.pinned} has gone", "push it again")
    with console.phase("attach", kinds):
        referrers.attach(remote.registry, remote.repository, subject, documents)
