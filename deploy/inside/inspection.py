"""What is inside a built image, for people and for programs."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from deploy import console
from deploy.build import base_image, dockerfile, image, packages
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.errors import DeployError
from deploy.inside import contents, measuring
from deploy.inside.contents import Contents
from deploy.inside.measuring import Package
from deploy.labels import OCI
from deploy.model import Flow, Image

LARGEST = 10
BASE, BYTECODE, PACKAGES, SERVER = (
    "base",
    "standard library bytecode",
    "packages",
    "server and flow",
)
# The destination in a line of history: `COPY a/ /app/ # buildkit` (BuildKit), and
# `/bin/sh -c #(nop) COPY dir:0123 in /app/ ` (Docker's classic builder, podman).
COPY = re.compile(r"(?:^|\s)(?:COPY|ADD) .*?(\S+)\s*(?:# buildkit)?\s*$", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One layer of an image: what made it, its digest (that of its tar archive) and its bytes."""

    what: str
    digest: str
    size: int


@dataclass(frozen=True)
class Inspection:
    """What a built image says of itself, and what is in it.

    `size` sums up the files of all layers (an engine's own figure depends on how it stores them),
    `python` and `debian` count packages, and `variables` are names only. `published` is where a
    registry has it, by digest, and `attached` are the documents that the registry has about it.
    """

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
    size: int
    files: int
    python: int
    debian: int
    layers: tuple[Part, ...]
    largest: tuple[Package, ...]
    variables: tuple[str, ...]
    labels: Mapping[str, str]
    published: str = ""
    attached: tuple[Mapping[str, Any], ...] = ()


def inspect(
    client: docker.DockerClient,
    built: Image,
    published: Image | None = None,
    attached: Sequence[Mapping[str, Any]] = (),
) -> Inspection:
    """Return what is inside the image `built`. Raises `DeployError`.

    `published` is the image as a registry has it, and `attached` a row for each document that goes
    with it there.
    """
    with image_archive.saved(client, built.id, built.platform) as saved:
        found = contents.read(saved, _wanted)
        layers = parts(saved, found)
        settings: dict[str, Any] = saved.config.get("config") or {}
        created = str(saved.config.get("created", ""))
    every = measuring.measure(found)
    labels = settings.get("Labels") or {}
    return Inspection(
        reference=built.reference,
        tag=built.tag,
        id=built.id,
        created=labels.get(f"{OCI}.created", created),
        commit=built.commit,
        base=built.base,
        platform=built.platform,
        user=settings.get("User", ""),
        ports=tuple(settings.get("ExposedPorts") or ()),
        command=(*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ())),
        size=sum(layer.size for layer in layers),
        files=len(found.sizes),
        python=sum(package.kind == "python" for package in every),
        debian=sum(package.kind == "debian" for package in every),
        layers=layers,
        largest=tuple(every[:LARGEST]),
        variables=tuple(entry.partition("=")[0] for entry in settings.get("Env") or ()),
        labels=dict(sorted(labels.items())),
        published=published.pinned if published else "",
        attached=tuple(attached),
    )


def find(client: docker.DockerClient, definition: Flow, root: Path) -> Image:
    """Return the image of `definition` as its files are now. Raises `DeployError` without one."""
    chosen = base_image.find(client, definition.image, root)
    built = chosen and image.find(client, image.inputs(definition, chosen, root))
    if not built:
        what = "the image of its files, as they are now, is not built"
        raise DeployError(definition.name, what, f"`inv build --flow {definition.name}`")
    return built


def show(images: Sequence[Inspection]) -> None:
    """Print `images` for people: a few tables for each."""
    for number, found in enumerate(images):
        if number:
            print("\n")
        _show(found)


def _show(found: Inspection) -> None:
    _facts(found)
    print()
    size = "MB".rjust(6)
    rows = [{"layer": layer.what, size: _megabytes(layer.size)} for layer in found.layers]
    console.table([*rows, {"layer": "in all", size: _megabytes(found.size)}])
    print()
    console.table(
        [
            {f"the {LARGEST} largest packages": p.name, "version": p.version}
            | {"of": p.kind.capitalize(), size: _megabytes(p.size), "files": p.files}
            for p in found.largest
        ]
    )
    print()
    console.table([{"label": name, "value": value} for name, value in found.labels.items()])
    if found.attached:
        print()
        console.table(
            [
                {"attached": row["kind"], "type": row["type"], "kB": f"{row['size'] / 1e3:.1f}"}
                | {"digest": row["digest"]}
                for row in found.attached
            ]
        )


def _facts(found: Inspection) -> None:
    rows = {
        "id": found.id,
        **({"published": found.published} if found.published else {}),
        "created": found.created,
        "commit": found.commit,
        "base": found.base,
        "platform": found.platform,
        "user": found.user,
        "port": ", ".join(found.ports),
        "command": " ".join(found.command),
        "content": f"{found.files} files, {found.python} Python packages, "
        f"{found.debian} Debian packages",
        "variables": ", ".join(found.variables),
    }
    heads = ("image", found.reference)
    console.table([dict(zip(heads, row, strict=True)) for row in rows.items()], heads)


def parts(archive: ImageArchive, found: Contents) -> tuple[Part, ...]:
    """Return the layers, named by what made each: the base, or an instruction of our Dockerfile."""
    about = json.loads(found.texts.get(contents.ABOUT, "{}"))
    base = int(about.get("built_with", {}).get("base_layers", 0))
    lines = enumerate(_history(archive))
    names = [BASE if number < base else _name(line) for number, line in lines]
    rows = zip(names, archive.layers, found.layers, strict=True)
    return tuple(Part(name, layer.digest, size) for name, layer, size in rows)


def _history(archive: ImageArchive) -> list[str]:
    """Return the line of history that made each layer; empty where a base does not have it."""
    history = archive.config.get("history") or ()
    lines = [str(entry.get("created_by", "")) for entry in history if not entry.get("empty_layer")]
    count = len(archive.layers)
    return ([""] * count + lines)[len(lines) :]


def _name(line: str) -> str:
    match = COPY.search(line)
    if not match:
        return "other"
    folder = f"{posixpath.normpath(match[1])}/"
    if folder.startswith(f"/{packages.FOLDER}/"):
        return PACKAGES
    return SERVER if folder.startswith(f"/{dockerfile.HOME}/") else BYTECODE


def _wanted(path: str) -> bool:
    return path == contents.ABOUT or measuring.wanted(path)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:6.1f}"
