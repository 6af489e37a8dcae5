"""Stand-ins for base images that cannot be pulled here, made from Debian packages, without an engine.

reference = official_base.push("127.0.0.1:5000")
reference = official_base.push_distroless("127.0.0.1:5000")
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import docker

from deploy.docker import engine
from deploy.sandbox import folder_cache
from deploy.sandbox.registry import RegistryProcess
from tests.official_base import debian_root, distroless_image, oci_layout, python_image
from tests.official_base.oci_layout import Layout

RECIPE = (
    Path(debian_root.__file__),
    Path(oci_layout.__file__),
    debian_root.HOOKS / "record-packages.sh",
)


def push(
    registry_address: str, repository: str = "library/python", tag: str = "3.11-slim-bookworm"
) -> str:
    """Push the stand-in for python:3.11-slim-bookworm; return its reference by digest of the index."""
    return _push(python_layout(), registry_address, repository, tag)


def push_distroless(
    registry_address: str, repository: str = "distroless/python3", tag: str = "nonroot"
) -> str:
    """Push the stand-in for a distroless image of Python; return its reference by digest of the index."""
    return _push(distroless_layout(), registry_address, repository, tag)


def pull(client: docker.DockerClient, distroless: bool = False) -> str:
    """Pull the stand-in with the engine from a temporary registry; return its reference."""
    push_image = push_distroless if distroless else push
    with tempfile.TemporaryDirectory() as folder, RegistryProcess(Path(folder)) as registry:
        reference = push_image(registry.name)
        client.images.pull(reference, platform=engine.native_platform(client))
        return reference


def python_layout() -> Layout:
    """Return the image python:3.11-slim-bookworm for amd64 and arm64, made where this machine lacks it."""
    recipe = folder_cache.sources(*RECIPE, Path(python_image.__file__))
    return Layout(folder_cache.ensure("official-base", recipe, python_image.make))


def distroless_layout() -> Layout:
    """Return the distroless image, made where this machine lacks it."""
    recipe = folder_cache.sources(*RECIPE, Path(distroless_image.__file__))
    return Layout(folder_cache.ensure("distroless-base", recipe, distroless_image.make))


def _push(layout: Layout, server: str, repository: str, tag: str) -> str:
    digest = layout.push(server, repository, tag)
    return f"{server}/{repository}@{digest}"
