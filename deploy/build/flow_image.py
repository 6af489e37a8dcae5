"""Build the image of a flow from its configuration and files, once for the same content."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import docker.errors

from deploy import kinds
from deploy.build import (
    base_image,
    build_context,
    docker_build,
    dockerfile,
    flow_files,
    interpreter,
    labels,
    lock_files,
    metadata,
    package_flow,
    packages,
    server_files,
    standard_library,
)
from deploy.build.base_image import BaseImage
from deploy.build.interpreter import Interpreter
from deploy.core import git, progress
from deploy.core.entities import Flow, Image, ImageSettings
from deploy.core.errors import DeployError
from deploy.docker import engine

# Folder below the repository's root that holds the build contexts, one subfolder for each flow.
CONTEXTS_FOLDER = ".build"


@dataclass(frozen=True)
class ImageInputs:
    """All inputs that determine an image."""

    flow: Flow
    # Files of the flow, by their path from the repository's root.
    files: dict[str, Path]
    # Requirements of the flow's lock, without comments.
    lock: str
    base: BaseImage
    # Hash of all other inputs: the same inputs give the same tag on every machine.
    tag: str


def collect_inputs(definition: Flow, base: BaseImage, root: Path) -> ImageInputs:
    """Return the inputs of the image of `definition` on `base`.

    Raises `DeployError` for an outdated lock.
    """
    files = flow_files.list_files(definition, root)
    lock = lock_files.read(definition)
    kind = kinds.get(definition.kind)
    parts = [
        flow_files.hash_files(files),
        lock,
        flow_files.hash_files(package_flow.list_server_files(kind, lock)),
        lock_files.strip_comments(lock_files.PACK_LOCK.read_text(encoding="utf-8"))
        if kind.promptflow
        else "",
        package_flow.DRIVER.read_text(encoding="utf-8"),
        json.dumps(metadata.select_declared(definition), sort_keys=True),
        dockerfile.render(base.content_id, {"packages": packages.FOLDER}, {}),
        base.content_id,
        packages.RECIPE_VERSION,
        definition.image.python,
        definition.image.platform,
    ]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return ImageInputs(definition, files, lock, base, digest[:12])


def find(client: docker.DockerClient, inputs: ImageInputs) -> Image | None:
    """Return the image with these inputs if the engine has it, else None."""
    repository = inputs.flow.name
    with engine.translate_errors("looking for the image"):
        try:
            image = client.images.get(f"{repository}:{inputs.tag}")
        except docker.errors.ImageNotFound:
            return None
    image_labels = image.labels or {}
    if image_labels.get(labels.TAG) != inputs.tag:
        # Another image with the same name, which this tool did not build.
        return None
    return Image(
        repository=repository,
        tag=inputs.tag,
        id=str(image.id),
        platform=inputs.flow.image.platform,
        base=image_labels.get(f"{labels.OCI_PREFIX}.base.name", ""),
        commit=image_labels.get(f"{labels.OCI_PREFIX}.revision", ""),
    )


def check_files(definition: Flow, root: Path) -> None:
    """Raise `DeployError` for errors in the flow's files; this needs no engine."""
    files = flow_files.list_files(definition, root)
    flow_files.check_syntax(definition, files)
    flow_files.check_connections(definition)
    flow_files.check_packages(definition, lock_files.read(definition))


def build(
    client: docker.DockerClient,
    definition: Flow,
    root: Path,
    endpoint: engine.Endpoint,
    folder: Path | None = None,
) -> Image:
    """Return the image of `definition`; build it only if the engine does not have it.

    The build context is written to `folder`, or below `root`. If `folder` is passed, the context is
    written even if nothing is built.

    Raises `DeployError`; an existing image stays unchanged.
    """
    inputs = collect_inputs(definition, base_image.ensure(client, definition.image, root), root)
    existing = find(client, inputs)
    if existing and not folder:
        progress.note("build", f"unchanged: {existing.reference}")
        return existing
    context = write_context(client, inputs, root, endpoint, folder)
    if existing:
        progress.note("build", f"unchanged: {existing.reference}")
        return existing
    reference = f"{definition.name}:{inputs.tag}"
    docker_build.build(client, endpoint, context, reference, definition.image.platform)
    built = find(client, inputs)
    if built is None:
        raise DeployError(
            reference, "the engine lost the image that it has just built", "try again"
        )
    return built


def write_context(
    client: docker.DockerClient,
    inputs: ImageInputs,
    root: Path,
    endpoint: engine.Endpoint,
    folder: Path | None = None,
) -> Path:
    """Write the context of `docker build` (a Dockerfile and its files); return its folder.

    Raises `DeployError`; an existing context then stays unchanged.
    """
    definition, python = inputs.flow, inputs.flow.image.python
    native, native_python = _examine_native_base(client, inputs, root)
    base, base_python = inputs.base, native_python
    if native != base:
        # Look it up again: on the classic image store, pulling the native base may have taken over
        # its name.
        base = base_image.ensure(client, definition.image, root)
        base_python = interpreter.examine(client, base, definition.image, native=False)
    compiled = packages.ensure_folder(
        client, native, inputs.lock, python, definition.image.platform
    )
    library = standard_library.ensure(client, native, native_python)
    server_folder = server_files.ensure(client, native, kinds.get(definition.kind), inputs.lock)
    folders = {"packages": (compiled, f"/{packages.FOLDER}")}
    # If both bases come from the same index or image, they have the same Python version on every
    # platform. Otherwise the versions may differ, and Python compiles the library at each start.
    if library and base.content_id == native.content_id:
        folders = {"bytecode": (library.folder, library.image_path), **folders}
    context = folder or root / CONTEXTS_FOLDER / definition.name
    with build_context.create(context) as draft, ThreadPoolExecutor(1) as pool:
        # Link files in a thread while packing waits for its container.
        links = [
            pool.submit(build_context.link_files, source, draft / name)
            for name, (source, _) in folders.items()
        ]
        # Copied, not linked: users edit these files in a context for experiments.
        shutil.copytree(server_folder, draft / "app")
        packed = draft / "app" / package_flow.FLOW_FOLDER
        package_flow.pack(client, definition, inputs.files, inputs.lock, native, packed, library)
        for link in links:
            link.result()
        builder = docker_build.choose_builder(client, endpoint).name
        built_with = metadata.collect_build_metadata(
            client, definition, base, base_python.layers, builder
        )
        revision = git.read_commit(root)
        about = metadata.create_about(definition, inputs.tag, revision, built_with)
        build_context.write_file(draft / "app/about.json", json.dumps(about, indent=2))
        copies = {name: path for name, (_, path) in folders.items()}
        copies["app"] = f"/{dockerfile.APP_FOLDER}"
        image_labels = labels.create(
            definition.name, inputs.tag, inputs.base.reference, revision, root
        )
        text = dockerfile.render(base.build_reference, copies, image_labels)
        build_context.write_file(draft / "Dockerfile", text)
        build_context.check_size(draft, definition)
    return context


def _examine_native_base(
    client: docker.DockerClient, inputs: ImageInputs, root: Path
) -> tuple[BaseImage, Interpreter]:
    """Return the base for the engine's own platform, and its Python.

    Raises `DeployError` if flows cannot run on it.
    """
    settings = replace(inputs.flow.image, platform=engine.native_platform(client))
    base = ensure_native_base(client, inputs.flow.image, inputs.base, root)
    return base, interpreter.examine(client, base, settings, native=True)


def ensure_native_base(
    client: docker.DockerClient, settings: ImageSettings, base: BaseImage, root: Path
) -> BaseImage:
    """Return the base for the engine's own platform.

    The containers that pack the flow and compile its packages run on this base.
    """
    native = engine.native_platform(client)
    if settings.platform == native:
        return base
    return base_image.ensure(client, replace(settings, platform=native), root)
