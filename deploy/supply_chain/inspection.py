"""Summarize the content of a built image."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from deploy.build import base_image, dockerfile, flow_image, packages
from deploy.build.labels import OCI_PREFIX
from deploy.config.configuration import Project
from deploy.config.target import AnySpec
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.docker import engine, image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.registry import image_repository, referrers
from deploy.supply_chain import image_files, package_sizes
from deploy.supply_chain.image_files import ImageContents
from deploy.supply_chain.package_sizes import Package

LARGEST_COUNT = 10
BASE, BYTECODE, PACKAGES, SERVER = (
    "base",
    "standard library bytecode",
    "packages",
    "server and flow",
)
# Group 1 is the destination in a line of history: `COPY a/ /app/ # buildkit` (BuildKit), and
# `/bin/sh -c #(nop) COPY dir:0123 in /app/ ` (Docker's classic builder, podman).
COPY_INSTRUCTION = re.compile(r"(?:^|\s)(?:COPY|ADD) .*?(\S+)\s*(?:# buildkit)?\s*$", re.DOTALL)


@dataclass(frozen=True)
class LayerSummary:
    """One layer of an image."""

    # Origin of the layer: the base, or what an instruction copied.
    what: str
    # Digest of its uncompressed tar archive.
    digest: str
    # Size in bytes.
    size: int


@dataclass(frozen=True)
class Inspection:
    """Facts about a built image and its content."""

    reference: str
    tag: str
    id: str
    created: str
    commit: str
    base: str
    platform: str
    user: str
    ports: tuple[str, ...]
    command: tuple[str, ...]
    # Total size of the files of all layers, in bytes: an engine's own figure depends on how it
    # stores them.
    size: int
    files: int
    # Number of Python packages.
    python: int
    # Number of Debian packages.
    debian: int
    layers: tuple[LayerSummary, ...]
    largest: tuple[Package, ...]
    # Names of environment variables, without values.
    variables: tuple[str, ...]
    labels: Mapping[str, str]
    # Reference by digest in a registry; empty if the image is not published.
    published: str = ""
    # Documents about the image that the registry has.
    attached: tuple[Mapping[str, Any], ...] = ()


def inspect(
    client: docker.DockerClient,
    image: Image,
    published: Image | None = None,
    attached: Sequence[Mapping[str, Any]] = (),
) -> Inspection:
    """Return a summary of the content of `image`. Raises `DeployError`.

    `published` is the image as a registry has it, and `attached` has a row for each document about
    it there.
    """
    with image_archive.save_image(client, image.id, image.platform) as saved:
        contents = image_files.read_contents(saved, _is_text_required)
        layers = summarize_layers(saved, contents)
        settings: dict[str, Any] = saved.config.get("config") or {}
        created = str(saved.config.get("created", ""))
    all_packages = package_sizes.measure_packages(contents)
    labels = settings.get("Labels") or {}
    return Inspection(
        reference=image.reference,
        tag=image.tag,
        id=image.id,
        created=labels.get(f"{OCI_PREFIX}.created", created),
        commit=image.commit,
        base=image.base,
        platform=image.platform,
        user=settings.get("User", ""),
        ports=tuple(settings.get("ExposedPorts") or ()),
        command=(*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ())),
        size=sum(layer.size for layer in layers),
        files=len(contents.sizes),
        python=sum(package.kind == "python" for package in all_packages),
        debian=sum(package.kind == "debian" for package in all_packages),
        layers=layers,
        largest=tuple(all_packages[:LARGEST_COUNT]),
        variables=tuple(entry.partition("=")[0] for entry in settings.get("Env") or ()),
        labels=dict(sorted(labels.items())),
        published=published.pinned if published else "",
        attached=tuple(attached),
    )


def inspect_flow(project: Project, flow: Flow, spec: AnySpec | None = None) -> Inspection:
    """Return a summary of the flow's image, which must be built.

    With `spec`, include the image in its environment's registry and the documents attached there.
    """
    client = engine.connect()
    built = _find_image(client, flow, project.root)
    if spec is None:
        return inspect(client, built)
    repository = image_repository.open_repository(spec)
    published = repository.find(flow, built.tag)
    attached = referrers.list_documents(repository, published.digest or "") if published else ()
    return inspect(client, built, published, attached)


def _find_image(client: docker.DockerClient, definition: Flow, root: Path) -> Image:
    """Return the image of `definition` for its current files. Raises `DeployError` without one."""
    base = base_image.find(client, definition.image, root)
    image = base and flow_image.find(client, flow_image.collect_inputs(definition, base, root))
    if not image:
        message = "no image is built for its current files"
        raise DeployError(definition.name, message, f"`inv build --flow {definition.name}`")
    return image


def summarize_layers(archive: ImageArchive, contents: ImageContents) -> tuple[LayerSummary, ...]:
    """Return the layers, named by their origin: the base, or an instruction of our Dockerfile."""
    about = json.loads(contents.texts.get(image_files.ABOUT_FILE, "{}"))
    base = int(about.get("built_with", {}).get("base_layers", 0))
    lines = enumerate(_read_history(archive))
    names = [BASE if number < base else _name_layer(line) for number, line in lines]
    rows = zip(names, archive.layers, contents.layer_sizes, strict=True)
    return tuple(LayerSummary(name, layer.digest, size) for name, layer, size in rows)


def _read_history(archive: ImageArchive) -> list[str]:
    """Return the line of history of each layer; empty if a base lacks it."""
    history = archive.config.get("history") or ()
    lines = [str(entry.get("created_by", "")) for entry in history if not entry.get("empty_layer")]
    count = len(archive.layers)
    return ([""] * count + lines)[len(lines) :]


def _name_layer(line: str) -> str:
    match = COPY_INSTRUCTION.search(line)
    if not match:
        return "other"
    folder = f"{posixpath.normpath(match[1])}/"
    if folder.startswith(f"/{packages.FOLDER}/"):
        return PACKAGES
    return SERVER if folder.startswith(f"/{dockerfile.APP_FOLDER}/") else BYTECODE


def _is_text_required(path: str) -> bool:
    return path == image_files.ABOUT_FILE or package_sizes.is_package_list(path)
