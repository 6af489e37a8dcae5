"""Choose the image to deploy: found in the registry, named by a file, or built and published."""

from __future__ import annotations

from pathlib import Path

from deploy.build import base_image, flow_image
from deploy.config import target_registry
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core import git, progress
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path
from deploy.delivery import image_reference, publication
from deploy.docker import engine
from deploy.registry import image_repository
from deploy.supply_chain.image_verification import records


def build_image(
    project: Project, flow: Flow, address: str | None = None, context: Path | None = None
) -> Image:
    """Return the flow's image on the engine at `address`; build it if it does not exist.

    With `context`, write the build context to that folder, even if nothing is built.
    """
    with progress.log_prefix(flow.name):
        # Cheap checks come first, so that errors show before the downloads.
        flow_image.check_files(flow, project.root)
        endpoint = engine.find_endpoint(address)
        client = engine.connect(address)
        return flow_image.build(client, flow, project.root, endpoint, context)


def write_context(project: Project, flow: Flow, context: Path | None = None) -> Path:
    """Write the build context of the flow's image; return its folder. Build nothing."""
    with progress.log_prefix(flow.name):
        flow_image.check_files(flow, project.root)
        client = engine.connect()
        base = base_image.ensure(client, flow.image, project.root)
        inputs = flow_image.collect_inputs(flow, base, project.root)
        return flow_image.write_context(
            client, inputs, project.root, engine.find_endpoint(), context
        )


def publish_image(project: Project, spec: AnySpec, trust_registry: bool = False) -> Image:
    """Return the flow's image in the environment's registry; build and push it if needed.

    If the registry's image was pushed or verified by this machine before, nothing is built or
    pushed. If the base image is pinned as well, no engine is needed.
    """
    flow, root = spec.flow, project.root
    with progress.log_prefix(flow.name):
        flow_image.check_files(flow, root)
        target = publication.open_publication(project, spec)
        tag = find_content_tag(flow, root)
        published = target.repository.find(flow, tag) if tag else None
        if published is None:
            client = engine.connect()
            built = flow_image.build(client, flow, root, engine.find_endpoint())
            published = target.repository.find(flow, built.tag) if built.tag != tag else None
            if published is None:
                published = target.push_image(client, built)
                publication.write_image_reference(root, flow, published)
                return published
        if verify_image(project, spec, published, trust_registry):
            target.attach_missing(published)
        progress.note("push", f"unchanged: {published.reference}")
        publication.write_image_reference(root, flow, published)
        return published


def verify_image(project: Project, spec: AnySpec, published: Image, trust_registry: bool) -> bool:
    """Return whether the content of `published` is known to match its tag.

    It is known if this machine pushed or verified the image before. Any other image is compared
    with the image that the flow's files build here; with `trust_registry` it is used unverified
    (False). Raise `DeployError` if the content differs.
    """
    flow, root = spec.flow, project.root
    if records.has(records.VERIFIED, flow.name, published):
        return True
    if trust_registry:
        progress.note("verify", f"{published.pinned} is not verified (--trust-registry)")
        return False
    tag = find_content_tag(flow, root)
    if tag in ("", published.tag):
        client = engine.connect()
        built = flow_image.build(client, flow, root, engine.find_endpoint())
        tag = built.tag
        if tag == published.tag:
            publication.open_publication(project, spec).verify_image(client, built, published)
            return True
    message = (
        f"{published.digest} has the content tag {published.tag}, but the flow's files have {tag}"
    )
    hint = (
        "check out the commit that it was pushed from, or pass the file of that push with --image; "
        "or use --trust-registry, if you trust every client that can push to this registry"
    )
    raise DeployError(published.repository, message, hint)


def resolve_for_plan(project: Project, spec: AnySpec, image_file: Path | None) -> Image:
    """Return the image that a deploy would use: from the registry, or else built here."""
    if image_file:
        return _resolve_from_file(project, spec, image_file)
    if spec.place.registry:
        with progress.log_prefix(spec.flow.name):
            flow_image.check_files(spec.flow, project.root)
            repository = image_repository.open_repository(spec)
            tag = find_content_tag(spec.flow, project.root)
            published = repository.find(spec.flow, tag) if tag else None
            if published:
                return published
    return build_image(project, spec.flow, target_registry.get(spec.target).engine(spec))


def resolve_for_deploy(
    project: Project, spec: AnySpec, image_file: Path | None, trust_registry: bool = False
) -> Image:
    """Return the image to deploy: from the file, published, or built if there is no registry.

    The push that wrote the file has verified its digest: the image is not compared again, only
    scanned, as this environment may hold other secrets.
    """
    if image_file:
        published = _resolve_from_file(project, spec, image_file)
        with progress.log_prefix(spec.flow.name):
            publication.open_publication(project, spec).scan_image(published)
        return published
    if spec.place.registry:
        return publish_image(project, spec, trust_registry)
    return build_image(project, spec.flow, target_registry.get(spec.target).engine(spec))


def _resolve_from_file(project: Project, spec: AnySpec, image_file: Path) -> Image:
    """Return the image that the file names, as found in the environment's registry."""
    flow = spec.flow
    with progress.log_prefix(flow.name):
        reference = read_image_reference(project, flow, image_file)
        repository = image_repository.open_repository(spec)
        published = repository.find(flow, reference.digest)
        if published is None:
            message = f"{repository.name}@{reference.digest} does not exist"
            hint = f"`inv promote --from ‹environment› --to {spec.environment} --flow {flow.name}`"
            raise DeployError(repository.registry.where, message, hint)
        if (published.tag, published.platform) != (reference.tag, reference.platform):
            message = (
                f"the registry's image has the tag {published.tag} and the platform "
                f"{published.platform}, which differ from this file"
            )
            raise DeployError(
                display_path(image_reference.get_reference_file(image_file, flow.name)),
                message,
                image_reference.REWRITE_HINT,
            )
        return published


def read_image_reference(
    project: Project, flow: Flow, image_file: Path
) -> image_reference.ImageReference:
    """Return the reference in the file. Raise `DeployError` if flow or commit do not match."""
    return image_reference.read(
        image_reference.get_reference_file(image_file, flow.name),
        flow.name,
        git.read_commit(project.root),
    )


def find_built_image(flow: Flow, root: Path) -> tuple[str | None, bool]:
    """Return the flow's content tag, and whether the engine has an image with that tag.

    The tag is None if there is no engine, no base image or no lock file.
    """
    try:
        client = engine.connect()
        base = base_image.find(client, flow.image, root)
        if base is None:
            return None, False
        inputs = flow_image.collect_inputs(flow, base, root)
    except DeployError:
        return None, False
    return inputs.tag, flow_image.find(client, inputs) is not None


def find_content_tag(flow: Flow, root: Path) -> str:
    """Return the flow's content tag, empty if the base image is not known yet.

    If the base image is pinned, no engine is needed.
    """
    base = base_image.find_pinned(flow.image, root) or base_image.find(
        engine.connect(), flow.image, root
    )
    return flow_image.collect_inputs(flow, base, root).tag if base else ""
