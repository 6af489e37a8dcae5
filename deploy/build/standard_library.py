"""Compile the standard library of a base image.

Official images contain no bytecode of it, and the container's user cannot write any at run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import docker

from deploy.build import cache, packages
from deploy.build.base_image import BaseImage
from deploy.build.interpreter import Interpreter
from deploy.core import progress
from deploy.docker import isolated, tar_files

COMPILE_SCRIPT = Path(__file__).with_name("compile_library.py")
# Change this when the library is compiled in another way.
RECIPE_VERSION = "1"


@dataclass(frozen=True)
class LibraryBytecode:
    """Bytecode of a standard library."""

    # Local folder with the bytecode.
    folder: Path
    # Folder of the standard library in the image.
    image_path: str


def ensure(
    client: docker.DockerClient, native: BaseImage, python: Interpreter
) -> LibraryBytecode | None:
    """Return the bytecode that the base `native` lacks, or None if it has its own.

    `python` is the Python of `native`. Raises `DeployError`.
    """
    if python.compiled:
        return None
    entry = cache.get_entry(
        "standard-library", packages.compute_key(native.content_id, RECIPE_VERSION)
    )
    with entry.fill() as draft:
        if draft is not None:
            with progress.phase("base", f"compiling {python.stdlib}"):
                operation = f"compiling the standard library of {native.reference}"
                compiled = isolated.run(
                    client,
                    native.id,
                    ["python3", "/compile/compile_library.py", python.stdlib, "/out"],
                    tar_files.pack(
                        {"compile/compile_library.py": COMPILE_SCRIPT, "out/.keep": b""}
                    ),
                    "/out",
                    {},
                    operation,
                )
                with compiled:
                    tar_files.unpack(compiled, draft, operation)
    return LibraryBytecode(entry.path, python.stdlib)
