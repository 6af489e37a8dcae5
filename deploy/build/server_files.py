"""Compile the server's modules for an image.

They are compiled in a container in which no flow's code runs: packing imports a flow's modules, and
what they do then affects neither the server nor its bytecode.
"""

from __future__ import annotations

from pathlib import Path

import docker

from deploy.build import cache, dockerfile, flow_files, package_flow, packages
from deploy.build.base_image import BaseImage
from deploy.core import progress
from deploy.docker import isolated, tar_files
from deploy.kinds.base import Kind

OUTPUT = "/out"
# Unchecked: files of an image do not change, so Python need not compare them at each start.
COMPILE_COMMAND = ("python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
# Change this when the modules are compiled in another way.
RECIPE_VERSION = "1"


def ensure(client: docker.DockerClient, native: BaseImage, kind: Kind, lock: str) -> Path:
    """Return a folder with flow_server/ and, for kinds packed by promptflow, shims/.

    `native` is a base for the engine's own platform, with the image's Python version. Do not change
    files in the folder. Raises `DeployError`.
    """
    files = package_flow.list_server_files(kind, lock)
    key = packages.compute_key(
        native.content_id, flow_files.hash_files(files), *COMPILE_COMMAND, RECIPE_VERSION
    )
    entry = cache.get_entry("server", key)
    with entry.fill() as draft:
        if draft is not None:
            with progress.phase("server", "compiling"):
                compiled = isolated.run(
                    client,
                    native.id,
                    [*COMPILE_COMMAND, "-s", OUTPUT, "-p", f"/{dockerfile.APP_FOLDER}", OUTPUT],
                    tar_files.pack({f"{OUTPUT[1:]}/{name}": path for name, path in files.items()}),
                    OUTPUT,
                    {},
                    "compiling the server",
                )
                with compiled:
                    tar_files.unpack(compiled, draft, "compiling the server")
    return entry.path
