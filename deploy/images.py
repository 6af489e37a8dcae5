"""Which image: found in the registry, named by a file, or built and published."""

from __future__ import annotations

from pathlib import Path

import docker

from deploy import artifact, console, publishing, targets
from deploy.build import base_image, image
from deploy.config import Project
from deploy.docker import engine
from deploy.documents import show
from deploy.errors import DeployError
from deploy.gate import values
from deploy.model import Flow, Image, Spec
from deploy.registry import remote
from deploy.trust import records


def build(
    project: Project, flow: Flow, address: str | None = None, context: Path | None = None
) -> Image:
    """Build the flow's image on the engine at `address`, or find it built there.

    Its context is written to the folder `context`, if one is given also where nothing is built.
    """
    with console.about(flow.name):
        # The cheap checks come first: what is wrong shows in a second, not after the downloads.
        image.check(flow, project.root)
        endpoint = engine.endpoint(address)
        client = engine.connect(address)
        return image.build(client, flow, project.root, endpoint, context)


def prepare(project: Project, flow: Flow, context: Path | None = None) -> Path:
    """Write the context of the flow's image to `context`, and return it. Builds nothing."""
    with console.about(flow.name):
        image.check(flow, project.root)
        client = engine.connect()
        base = base_image.ensure(client, flow.image, project.root)
        made_of = image.inputs(flow, base, project.root)
        return image.prepare(client, made_of, project.root, engine.endpoint(), context)


def publish(project: Project, spec: Spec, trust_registry: bool = False) -> Image:
    """Return the flow's image as the environment's registry has it.

    Where this machine knows the image that is there, nothing is built and nothing pushed, and no
    engine is asked if the base is pinned.
    """
    flow, root = spec.flow, project.root
    with console.about(flow.name):
        image.check(flow, root)
        where = remote.of(flow.name, spec.place, spec.environment)
        client, tag = content(flow, root)
        found = where.find(flow, tag) if tag else None
        if found is None:
            client = client or engine.connect()
            built = image.build(client, flow, root, engine.endpoint())
            found = where.find(flow, built.tag) if built.tag != tag else None
            if found is None:
                found = publishing.publish(client, where, flow, built, values.of(project), root)
                publishing.record(root, flow, found)
                return found
        if verify(project, where, flow, found, trust_registry):
            publishing.complete(where, flow, found, root)
        console.note("push", f"unchanged: {found.reference}")
        publishing.record(root, flow, found)
        return found


def verify(
    project: Project, where: remote.Remote, flow: Flow, found: Image, trust_registry: bool
) -> bool:
    """Return whether `found` in the registry is known to have the content that its tag names.

    Known is what this machine pushed or verified before. Anything else is compared with the image
    that the flow's files build here, or with `trust_registry` used unverified. Raises `DeployError`
    for other content.
    """
    if records.has(records.VERIFIED, flow.name, found):
        return True
    if trust_registry:
        console.note("verify", f"{found.pinned} is used unverified: --trust-registry")
        return False
    client, tag = content(flow, project.root)
    if tag in ("", found.tag):
        client = client or engine.connect()
        built = image.build(client, flow, project.root, engine.endpoint())
        tag = built.tag
        if tag == found.tag:
            hidden = values.of(project)
            publishing.verify(client, where, flow, built, found, hidden, project.root)
            return True
    what = f"{found.digest} is of the tag {found.tag}, and the files here are {tag}"
    hint = (
        "check out the commit that it was pushed from, or name the file of that push with --image; "
        "--trust-registry uses it as it is, where you trust all who may push there"
    )
    raise DeployError(where.name, what, hint)


def to_plan(project: Project, spec: Spec, handed: Path | None) -> Image:
    """Return the image that deploying would take: of the registry, or else built."""
    if handed:
        return _of_file(project, spec, handed)
    if spec.place.registry:
        with console.about(spec.flow.name):
            image.check(spec.flow, project.root)
            where = remote.of(spec.flow.name, spec.place, spec.environment)
            _, tag = content(spec.flow, project.root)
            found = where.find(spec.flow, tag) if tag else None
            if found:
                return found
    return build(project, spec.flow, targets.get(spec.target).engine(spec))


def to_deploy(
    project: Project, spec: Spec, handed: Path | None, trust_registry: bool = False
) -> Image:
    """Return the image to deploy: the file's, or published, or where there is no registry built.

    The digest in a file is what its push has verified: it is not compared again, only scanned, as
    this environment may hold other secrets.
    """
    if handed:
        found = _of_file(project, spec, handed)
        with console.about(spec.flow.name):
            where = remote.of(spec.flow.name, spec.place, spec.environment)
            publishing.scan(where, spec.flow, found, values.of(project), project.root)
        return found
    if spec.place.registry:
        return publish(project, spec, trust_registry)
    return build(project, spec.flow, targets.get(spec.target).engine(spec))


def _of_file(project: Project, spec: Spec, handed: Path) -> Image:
    """Return the image that the file names, as the environment's registry has it."""
    flow = spec.flow
    with console.about(flow.name):
        named = handed_over(project, flow, handed)
        where = remote.of(flow.name, spec.place, spec.environment)
        found = where.find(flow, named.digest)
        if found is None:
            what = f"{where.name}@{named.digest} is not there"
            hint = f"`inv promote --from ‹environment› --to {spec.environment} --flow {flow.name}`"
            raise DeployError(where.registry.where, what, hint)
        if (found.tag, found.platform) != (named.tag, named.platform):
            what = f"the image is {found.tag} for {found.platform}, which the file does not say"
            raise DeployError(show(artifact.file_of(handed, flow.name)), what, artifact.AGAIN)
        return found


def handed_over(project: Project, flow: Flow, handed: Path) -> artifact.Artifact:
    """Return what the file says. Raises `DeployError` unless it is of this flow and commit."""
    return artifact.read(artifact.file_of(handed, flow.name), flow.name, image.commit(project.root))


def content(flow: Flow, root: Path) -> tuple[docker.DockerClient | None, str]:
    """Return the flow's content tag, empty where the base is not known yet.

    With an engine's client only where it had to be asked.
    """
    pinned = base_image.pinned(flow.image, root)
    if pinned:
        return None, image.inputs(flow, pinned, root).tag
    client = engine.connect()
    found = base_image.find(client, flow.image, root)
    return client, image.inputs(flow, found, root).tag if found else ""
