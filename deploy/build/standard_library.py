"""Bytecode of a base image's standard library: official images delete it, and cannot write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import docker

from deploy import console
from deploy.build import cache, packages
from deploy.build.base_image import Base
from deploy.build.interpreter import Interpreter
from deploy.docker import isolated, tar_files

PROGRAM = Path(__file__).with_name("compile_library.py")
# To be changed when it is compiled in another way.
RECIPE = "1"


@dataclass(frozen=True)
class Library:
    """Bytecode in `folder` of this machine, and the `path` in the image that it belongs to."""

    folder: Path
    path: str


def ensure(client: docker.DockerClient, native: Base, python: Interpreter) -> Library | None:
    """Return the bytecode that the base `native` lacks, or None where it has its own.

    `python` is the Python of `native`. Raises `DeployError`.
    """
    if python.compiled:
        return None
    kept = cache.folder("standard-library", packages.key(native.content, RECIPE))
    with kept.filling() as draft:
        if draft is not None:
            with console.phase("base", f"compiling {python.stdlib}"):
                doing = f"compiling the standard library of {native.reference}"
                compiled = isolated.run(
                    client,
                    native.id,
                    ["python3", "/compile/compile_library.py", python.stdlib, "/out"],
                    tar_files.pack({"compile/compile_library.py": PROGRAM, "out/.keep": b""}),
                    "/out",
                    {},
                    doing,
                )
                with compiled:
                    tar_files.unpack(compiled, draft, doing)
    return Library(kept.path, python.stdlib)
