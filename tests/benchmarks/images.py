"""Images of the benchmark's own: built from a folder, labelled, and removed at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import docker
import docker.errors

from deploy.docker import engine

LABEL = "flow-deploy.benchmark"
RUN_LABEL = "flow-deploy.benchmark.run"


def build(
    client: docker.DockerClient,
    folder: Path,
    tag: str,
    arguments: Mapping[str, str] | None = None,
    network: str = "none",
) -> str:
    """Build the context `folder` and return the image's id.

    Raises `RuntimeError` with the last lines of the build's output where it fails.
    """
    try:
        image, _ = client.images.build(
            path=str(folder),
            tag=tag,
            buildargs=dict(arguments or {}),
            network_mode=network,
            rm=True,
            forcerm=True,
        )
    except docker.errors.BuildError as error:
        lines = [str(line.get("stream", "")).rstrip() for line in error.build_log]
        tail = "\n".join([line for line in lines if line][-15:])
        raise RuntimeError(f"{tag}: {error.msg}\n{tail}") from None
    return str(image.id)


def fresh(client: docker.DockerClient, base: str, tag: str, run: str) -> str:
    """Tag an image with the content of `base` and an id of its own; return its id.

    The engine has cached no layer on top of it, so a build on it is clean, and no image of others
    must go for that. Images built on it inherit the label of `run`.
    """
    with tempfile.TemporaryDirectory() as folder:
        recipe = f'FROM {base}\nLABEL {LABEL}=yes {RUN_LABEL}="{run} {tag}"\n'
        (Path(folder) / "Dockerfile").write_text(recipe, encoding="utf-8")
        return build(client, Path(folder), tag)


def remove(client: docker.DockerClient, run: str) -> None:
    """Remove every image that was built on a `fresh` base of `run`, these bases, and volumes."""
    for image in engine.list_images(client, label=LABEL):
        if str(image.labels.get(RUN_LABEL, "")).startswith(f"{run} "):
            for tag in image.tags or [str(image.id)]:
                client.images.remove(tag, force=True)
                _remove_volumes(client, tag)


def _remove_volumes(client: docker.DockerClient, tag: str) -> None:
    """Remove the volumes of packages that `tag` marks as complete (`packages.ensure_volume`)."""
    repository, _, digest = tag.rpartition(":")
    if repository == "flow-volume":
        for volume in client.volumes.list(filters={"name": digest}):
            volume.remove()
