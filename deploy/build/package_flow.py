"""Packing a flow in a sandbox with its packages: with `pf flow build`, or as it is."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors

from deploy import console, kinds, locks
from deploy.build import packages
from deploy.build.base_image import Base
from deploy.build.standard_library import Library
from deploy.docker import isolated, tar_files
from deploy.documents import show
from deploy.errors import DeployError
from deploy.kinds.base import Kind
from deploy.model import Flow

# The program that runs in the container.
DRIVER = Path(__file__).with_name("pf_flow_build.py")
# What the driver leaves behind once it has come to its end.
PACKED = "packed"
# The folder of the packed flow, in the container's result and in an image.
FLOW = "flow"
FOLDER = "opt/pack"
STAND_INS = locks.RUNTIME.parent / "stand_ins"
# Parts of the server that know promptflow.
OF_PROMPTFLOW = ("pf", "shims")


def tools(client: docker.DockerClient, native: Base, python: str) -> str:
    """Return the name of a volume with promptflow's packing tools for `python`; made once.

    All flows share it, whatever packages they have, and no image holds it. Raises `DeployError`.
    """
    lock = locks.body_of(locks.PACK_LOCK.read_text(encoding="utf-8"))
    with console.about("pf"):
        return packages.ensure_volume(client, native, lock, python, FOLDER)


def pack(
    client: docker.DockerClient,
    flow: Flow,
    tree: dict[str, Path],
    lock: str,
    native: Base,
    output: Path,
    library: Library | None = None,
) -> None:
    """Pack `tree` on the base `native` with the packages of `lock`.

    `library` is the bytecode that this base lacks: compiling takes as long as all the rest.

    `output` becomes the packed flow's folder, with bytecode. Nothing else is taken from the
    container, since the flow's code runs in it. Raises `DeployError`.
    """
    kind = kinds.get(flow.kind)
    content: dict[str, Path | bytes] = {f"src/{name}": path for name, path in tree.items()}
    content["pack/pf_flow_build.py"] = DRIVER
    content["out/.keep"] = b""
    # What stands in for parts of promptflow is needed here, too; this copy reaches no image.
    content |= {
        f"pack/{name}": path
        for name, path in server(kind, lock).items()
        if name.startswith("shims/")
    }
    if library:
        content[library.path.lstrip("/")] = library.folder
    source = f"/src/{flow.folder.relative_to(flow.folder.parent.parent).as_posix()}"
    if kind.promptflow and flow.entry.endswith(".prompty"):
        source = f"{source}/{flow.entry}"
    volumes = {packages.ensure_volume(client, native, lock, flow.image.python): packages.FOLDER}
    if kind.promptflow:
        volumes[tools(client, native, flow.image.python)] = FOLDER
    how, words = ("pf", "pf flow build") if kind.promptflow else ("copy", "as it is")
    doing = f"packing {flow.name}"
    with console.phase("pack", words), _with_hints(flow):
        result = isolated.run(
            client,
            native.id,
            ["python3", "/pack/pf_flow_build.py", how, source, "/out"],
            tar_files.pack(content),
            "/out",
            {
                "PYTHONPATH": f"/{packages.FOLDER}:/{FOLDER}:/pack/shims",
                "HOME": "/pack",
                "PF_HOME_DIRECTORY": "/pack/home",
                "PF_LOGGING_LEVEL": "ERROR",
                "PYTHONWARNINGS": "ignore",
                "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
                "GIT_PYTHON_REFRESH": "quiet",
            },
            doing,
            {volume: f"/{folder}" for volume, folder in volumes.items()},
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pack.", dir=output.parent) as folder:
        with result:
            tar_files.unpack(result, Path(folder), doing)
        if not (Path(folder) / PACKED).exists():
            what = "the flow's code ended the process while it was imported"
            hint = "call sys.exit() only below a main guard"
            raise DeployError(doing, what, hint)
        if not (Path(folder) / FLOW).is_dir():
            what = "the flow's code removed what was packed while it was imported"
            raise DeployError(doing, what)
        (Path(folder) / FLOW).rename(output)


@contextlib.contextmanager
def _with_hints(flow: Flow) -> Iterator[None]:
    """Let what promptflow says of the commonest mistakes end with what to do next."""
    try:
        yield
    except DeployError as error:
        problem = error.problems[0]
        hint = hint_for(problem.what, flow)
        raise DeployError(problem.where, problem.what, hint or problem.hint) from None


def hint_for(said: str, flow: Flow) -> str:
    """Return what to do about a flow that cannot be packed; nothing where nobody knows."""
    if found := re.search(r"No module named '(\w+)", said):
        requirements = show(flow.folder / locks.REQUIREMENTS)
        return (
            f"add {found[1]}'s package to {requirements}, then `inv lock --flow {flow.name}`; "
            "a file of yours that lies elsewhere belongs under additional_includes"
        )
    if "return annotation" in said:
        return "leave the annotation out, or return a dataclass, a TypedDict or a string"
    return ""


def server(kind: Kind, lock: str) -> dict[str, Path]:
    """Return the server's modules by their paths in the image: runtime/, and shims/.

    What is for promptflow is there for its kinds alone.
    """
    found = {}
    for path in sorted(locks.RUNTIME.parent.rglob("*.py")):
        relative = path.relative_to(locks.RUNTIME.parent)
        part = relative.parts[0]
        if "__pycache__" in relative.parts or part == STAND_INS.name:
            continue
        if part in OF_PROMPTFLOW and not kind.promptflow:
            continue
        name = relative if part == "shims" else Path("runtime") / relative
        found[name.as_posix()] = path
    if kind.promptflow:
        found |= {f"shims/{name}": path for name, path in stand_ins(lock).items()}
    return found | {f"runtime/{name}": path for name, path in code(kind).items()}


def code(kind: Kind) -> dict[str, Path]:
    """Return the files of a kind's own scorer, by their paths below `runtime`."""
    if kind.code is None:
        return {}
    return {
        path.relative_to(kind.code.parent).as_posix(): path
        for path in sorted(kind.code.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def stand_ins(lock: str) -> dict[str, Path]:
    """Return the files that stand in for packages which promptflow imports and `lock` lacks."""
    return {
        path.relative_to(STAND_INS).as_posix(): path
        for path in sorted(STAND_INS.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and f"\n{path.relative_to(STAND_INS).parts[0].split('-')[0]}==" not in f"\n{lock}"
    }
