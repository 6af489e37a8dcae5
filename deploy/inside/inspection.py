"""What is inside a built image, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from deploy import console
from deploy.build import base_image, image
from deploy.docker import engine, image_archive
from deploy.errors import DeployError
from deploy.inside import contents, measuring
from deploy.inside.contents import Contents
from deploy.inside.measuring import Package
from deploy.labels import OCI
from deploy.model import Flow, Image

LARGEST = 10


@dataclass(frozen=True)
class Part:
    """One layer of an image: what made it, its digest (that of its tar archive) and its bytes."""

    what: str
    digest: str
    size: int


@dataclass(frozen=True)
class Inspection:
    """What a built image says of itself, and what is in it.

    `size` is the engine's figure for the image, `python` and `debian` count packages, and
    `variables` are names only. `published` is where a registry has it, by digest, and `attached`
    are the documents that the registry has about it.
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
    with image_archive.saved(client, built.id) as saved:
        found = contents.read(saved, measuring.wanted)
        layers = [layer.digest for layer in saved.layers]
        settings: dict[str, Any] = saved.config.get("config") or {}
        created = str(saved.config.get("created", ""))
    with engine.explained("reading the image"):
        size = int(client.images.get(built.id).attrs["Size"])
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
        size=size,
        files=len(found.sizes),
        python=sum(package.kind == "python" for package in every),
        debian=sum(package.kind == "debian" for package in every),
        layers=_parts(layers, found),
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


def _parts(digests: Sequence[str], found: Contents) -> tuple[Part, ...]:
    """Return the layers with what made each: the last two are ours (`image.build`)."""
    names = [*["base"] * (len(digests) - 2), "packages", "server and flow"]
    rows = zip(names, digests, found.layers, strict=True)
    return tuple(Part(what, digest, size) for what, digest, size in rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:6.1f}"
