"""The server's modules with bytecode, as an image gets them.

They are compiled in a container that no flow's code runs in: what a module of a flow does while it
is imported (packing imports it) reaches neither the server nor its bytecode.
"""

from __future__ import annotations

from pathlib import Path

import docker

from deploy import console, flow
from deploy.build import cache, dockerfile, package_flow, packages
from deploy.build.base_image import Base
from deploy.docker import isolated, tar_files
from deploy.kinds.base import Kind

OUTPUT = "/out"
# Unchecked: nothing changes in an image, so nothing need be compared at each start.
COMPILE = ("python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
# To be changed when it is compiled in another way.
RECIPE = "1"


def ensure(client: docker.DockerClient, native: Base, kind: Kind, lock: str) -> Path:
    """Return a folder with runtime/ and, for a kind that promptflow packs, shims/.

    `native` is a base for the engine's own platform, with the image's Python. Nothing may be
    changed in the folder. Raises `DeployError`.
    """
    files = package_flow.server(kind, lock)
    key = packages.key(native.content, flow.fingerprint(files), *COMPILE, RECIPE)
    kept = cache.folder("server", key)
    with kept.filling() as draft:
        if draft is not None:
            with console.phase("server", "compiling"):
                compiled = isolated.run(
                    client,
                    native.id,
                    [*COMPILE, "-s", OUTPUT, "-p", f"/{dockerfile.HOME}", OUTPUT],
                    tar_files.pack({f"{OUTPUT[1:]}/{name}": path for name, path in files.items()}),
                    OUTPUT,
                    {},
                    "compiling the server",
                )
                with compiled:
                    tar_files.unpack(compiled, draft, "compiling the server")
    return kept.path
