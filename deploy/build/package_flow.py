"""Pack a flow in an isolated container with its packages: with `pf flow build`, or unchanged."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors

from deploy import kinds
from deploy.build import lock_files, packages
from deploy.build.base_image import BaseImage
from deploy.build.standard_library import LibraryBytecode
from deploy.core import progress
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path
from deploy.docker import isolated, tar_files
from deploy.kinds.base import Kind

# The program that packs the flow in the container.
DRIVER = Path(__file__).with_name("pf_flow_build.py")
# File that the driver creates as its last step.
DONE_MARKER = "packed"
# Folder of the packed flow, in the container's result and in an image.
FLOW_FOLDER = "flow"
TOOLS_FOLDER = "opt/pack"
STUBS_FOLDER = kinds.SERVER_FOLDER / "stubs"
# Parts of the server that depend on promptflow.
PROMPTFLOW_PARTS = ("promptflow", "fast_client", "shims")


def ensure_tools_volume(client: docker.DockerClient, native: BaseImage, python: str) -> str:
    """Return the name of a volume with promptflow's packing tools for `python`; fill it once.

    All flows share it, regardless of their packages, and no image contains it. Raises
    `DeployError`.
    """
    lock = lock_files.strip_comments(lock_files.PACK_LOCK.read_text(encoding="utf-8"))
    with progress.log_prefix("pf"):
        return packages.ensure_volume(client, native, lock, python, TOOLS_FOLDER)


def pack(
    client: docker.DockerClient,
    flow: Flow,
    tree: dict[str, Path],
    lock: str,
    native: BaseImage,
    output: Path,
    library: LibraryBytecode | None = None,
) -> None:
    """Pack `tree` on the base `native` with the packages of `lock` into the folder `output`.

    `library` is the bytecode that this base lacks: compiling it takes as long as all other steps.

    `output` becomes the packed flow's folder, with bytecode. Nothing else is copied from the
    container, since the flow's code runs in it. Raises `DeployError`.
    """
    kind = kinds.get(flow.kind)
    content: dict[str, Path | bytes] = {f"src/{name}": path for name, path in tree.items()}
    content["pack/pf_flow_build.py"] = DRIVER
    content["out/.keep"] = b""
    # Packing needs the stubs of promptflow's parts, too; this copy is not part of any image.
    content |= {
        f"pack/{name}": path
        for name, path in list_server_files(kind, lock).items()
        if name.startswith("shims/")
    }
    if library:
        content[library.image_path.lstrip("/")] = library.folder
    source = f"/src/{flow.folder.relative_to(flow.folder.parent.parent).as_posix()}"
    if kind.promptflow and flow.entry.endswith(".prompty"):
        source = f"{source}/{flow.entry}"
    volumes = {packages.ensure_volume(client, native, lock, flow.image.python): packages.FOLDER}
    if kind.promptflow:
        volumes[ensure_tools_volume(client, native, flow.image.python)] = TOOLS_FOLDER
    mode, label = ("pf", "pf flow build") if kind.promptflow else ("copy", "as it is")
    operation = f"packing {flow.name}"
    with progress.phase("pack", label), _add_hints(flow):
        result = isolated.run(
            client,
            native.id,
            ["python3", "/pack/pf_flow_build.py", mode, source, "/out"],
            tar_files.pack(content),
            "/out",
            {
                "PYTHONPATH": f"/{packages.FOLDER}:/{TOOLS_FOLDER}:/pack/shims",
                "HOME": "/pack",
                "PF_HOME_DIRECTORY": "/pack/home",
                "PF_LOGGING_LEVEL": "ERROR",
                "PYTHONWARNINGS": "ignore",
                "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
                "GIT_PYTHON_REFRESH": "quiet",
            },
            operation,
            {volume: f"/{folder}" for volume, folder in volumes.items()},
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pack.", dir=output.parent) as folder:
        with result:
            tar_files.unpack(result, Path(folder), operation)
        if not (Path(folder) / DONE_MARKER).exists():
            message = "the flow's code ended the process while it was imported"
            hint = "call sys.exit() only below a main guard"
            raise DeployError(operation, message, hint)
        if not (Path(folder) / FLOW_FOLDER).is_dir():
            message = "the flow's code removed what was packed while it was imported"
            raise DeployError(operation, message)
        (Path(folder) / FLOW_FOLDER).rename(output)


@contextlib.contextmanager
def _add_hints(flow: Flow) -> Iterator[None]:
    """Add a hint to promptflow's messages about the most frequent mistakes."""
    try:
        yield
    except DeployError as error:
        problem = error.problems[0]
        hint = find_hint(problem.what, flow)
        raise DeployError(problem.where, problem.what, hint or problem.hint) from None


def find_hint(error_text: str, flow: Flow) -> str:
    """Return a hint for a flow that cannot be packed; empty if the error is not a known one."""
    if match := re.search(r"No module named '(\w+)", error_text):
        requirements = display_path(flow.folder / lock_files.REQUIREMENTS)
        return (
            f"add {match[1]}'s package to {requirements}, then `inv lock --flow {flow.name}`; "
            "list your files from other folders under additional_includes"
        )
    if "return annotation" in error_text:
        return "remove the annotation, or return a dataclass, a TypedDict or a string"
    return ""


def list_server_files(kind: Kind, lock: str) -> dict[str, Path]:
    """Return the server's modules by their paths in the image: flow_server/ and shims/.

    Modules that depend on promptflow are listed only for kinds that use it.
    """
    files = {}
    for path in sorted(kinds.SERVER_FOLDER.rglob("*.py")):
        relative = path.relative_to(kinds.SERVER_FOLDER)
        part = relative.parts[0]
        if "__pycache__" in relative.parts or part == STUBS_FOLDER.name:
            continue
        if part in PROMPTFLOW_PARTS and not kind.promptflow:
            continue
        name = relative if part == "shims" else Path("flow_server") / relative
        files[name.as_posix()] = path
    if kind.promptflow:
        files |= {f"shims/{name}": path for name, path in list_stubs(lock).items()}
    return files | {f"flow_server/{name}": path for name, path in list_scorer_files(kind).items()}


def list_scorer_files(kind: Kind) -> dict[str, Path]:
    """Return the files of a kind's own scorer, by their paths below `flow_server`."""
    if kind.code is None:
        return {}
    return {
        path.relative_to(kind.code.parent).as_posix(): path
        for path in sorted(kind.code.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def list_stubs(lock: str) -> dict[str, Path]:
    """Return the stubs of packages that promptflow imports and `lock` lacks, by their paths."""
    return {
        path.relative_to(STUBS_FOLDER).as_posix(): path
        for path in sorted(STUBS_FOLDER.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and f"\n{path.relative_to(STUBS_FOLDER).parts[0].split('-')[0]}==" not in f"\n{lock}"
    }
