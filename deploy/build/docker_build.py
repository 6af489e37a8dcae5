"""`docker build` by the SDK, on any engine: with or without BuildKit, here or elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import docker
import docker.errors

from deploy.docker import engine, isolated
from deploy.errors import DeployError


def build(
    client: docker.DockerClient,
    tree: Mapping[str, Path | bytes],
    tag: str,
    platform: str | None = None,
) -> str:
    """Build an image of the context `tree` with the network off; return its id.

    The platform is that of the image which the Dockerfile builds on; `platform` is for one that
    builds on nothing.

    Raises `DeployError` with the failing step and the last lines of the build's output. An image
    that had `tag` keeps it then.
    """
    with tempfile.TemporaryFile() as stream, engine.explained(f"building {tag}"):
        stream.write(isolated.pack(tree))
        stream.seek(0)
        try:
            image, _ = client.images.build(
                fileobj=stream,
                custom_context=True,
                tag=tag,
                network_mode="none",
                platform=platform,
                rm=True,
                forcerm=True,
            )
        except docker.errors.BuildError as error:
            lines = [str(line.get("stream", "")).strip() for line in error.build_log]
            steps = [line for line in lines if line.startswith("Step ")]
            last = "\n".join(f"    {line}" for line in [line for line in lines if line][-8:])
            where = f"{tag}, {steps[-1]}" if steps else tag
            raise DeployError(where, f"{error.msg}\n{last}") from None
    return str(image.id)
