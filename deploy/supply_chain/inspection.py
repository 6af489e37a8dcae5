"""Summarize the content of a built image for users and for programs."""

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
from deploy.core import output
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
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


def find_image(client: docker.DockerClient, definition: Flow, root: Path) -> Image:
    """Return the image of `definition` for its current files. Raises `DeployError` without one."""
    base = base_image.find(client, definition.image, root)
    image = base and flow_image.find(client, flow_image.collect_inputs(definition, base, root))
    if not image:
        message = "the image of its files, as they are now, is not built"
        raise DeployError(definition.name, message, f"`inv build --flow {definition.name}`")
    return image


def print_inspections(images: Sequence[Inspection]) -> None:
    """Print `images` for users: several tables for each."""
    for number, inspection in enumerate(images):
        if number:
            print("\n")
        _print_inspection(inspection)


def _print_inspection(inspection: Inspection) -> None:
    _print_facts(inspection)
    print()
    size = "MB".rjust(6)
    rows = [
        {"layer": layer.what, size: _format_megabytes(layer.size)} for layer in inspection.layers
    ]
    output.print_table([*rows, {"layer": "in all", size: _format_megabytes(inspection.size)}])
    print()
    output.print_table(
        [
            {f"the {LARGEST_COUNT} largest packages": p.name, "version": p.version}
            | {"of": p.kind.capitalize(), size: _format_megabytes(p.size), "files": p.files}
            for p in inspection.largest
        ]
    )
    print()
    output.print_table(
        [{"label": name, "value": value} for name, value in inspection.labels.items()]
    )
    if inspection.attached:
        print()
        output.print_table(
            [
                {"attached": row["kind"], "type": row["type"], "kB": f"{row['size'] / 1e3:.1f}"}
                | {"digest": row["digest"]}
                for row in inspection.attached
            ]
        )


def _print_facts(inspection: Inspection) -> None:
    rows = {
        "id": inspection.id,
        **({"published": inspection.published} if inspection.published else {}),
        "created": inspection.created,
        "commit": inspection.commit,
        "base": inspection.base,
        "platform": inspection.platform,
        "user": inspection.user,
        "port": ", ".join(inspection.ports),
        "command": " ".join(inspection.command),
        "content": f"{inspection.files} files, {inspection.python} Python packages, "
        f"{inspection.debian} Debian packages",
        "variables": ", ".join(inspection.variables),
    }
    headers = ("image", inspection.reference)
    output.print_table([dict(zip(headers, row, strict=True)) for row in rows.items()], headers)


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


def _format_megabytes(size: int) -> str:
    return f"{size / 1e6:6.1f}"
