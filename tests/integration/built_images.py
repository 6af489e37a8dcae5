"""Builds on a real engine."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from deploy.build import docker_build
from deploy.config import configuration
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.docker import engine


def build(project: configuration.Project) -> Image:
    return resolve_image.build_image(project, configuration.load_flow(project, "hello"))


BUILDERS = ("command", "engine")


def docker_build_of(client: docker.DockerClient, builder: str, folder: Path, tag: str) -> str:
    """Build `folder` with BuildKit, by the docker command, or with the engine's own builder."""
    platform = engine.native_platform(client)
    if builder == "engine":
        return docker_build.build_with_engine(client, {".": folder}, tag, platform)
    chosen = docker_build.choose_builder(client, engine.find_endpoint())
    if not chosen.command:
        pytest.skip("no docker command here can use BuildKit")
    docker_build.build_with_command(chosen, engine.find_endpoint(), folder, tag, platform)
    return str(client.images.get(tag).id)
