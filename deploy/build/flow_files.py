"""Find a flow's files, and check them before the slow steps of a build."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy import kinds
from deploy.build import lock_files
from deploy.config.configuration import DEPLOY_FILE
from deploy.core.entities import Flow
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path

# Subfolders of a flow's folder that are in no image: data sets and evaluation flows, and tests.
EVALUATION_FOLDER = "evaluation"
TESTS_FOLDER = "tests"
DEVELOPMENT_HINT = f"move the file out of {EVALUATION_FOLDER}/ or {TESTS_FOLDER}/"
# Files in a flow's folder that are not part of the flow: configuration of environments,
# requirements that are already installed from the lock, and leftovers of tools.
_EXCLUDED_NAMES = {DEPLOY_FILE, lock_files.REQUIREMENTS, lock_files.LOCK, "__pycache__"}


def list_files(flow: Flow, root: Path) -> dict[str, Path]:
    """Return the files of `flow`, additional includes among them, by their path from `root`.

    Evaluation files and tests are left out. Raises `DeployError` if an include is missing, lies
    outside of the repository, or is one of these.
    """
    paths = sorted({path for _, path in _iterate_files(flow, root)})
    return {path.relative_to(root).as_posix(): _resolve_link(path, root) for path in paths}


def list_files_by_flow_path(flow: Flow, root: Path) -> dict[str, Path]:
    """Return the same files as `list_files` by their path from the flow's own folder.

    The key of an include is its last name, as `pf flow build` places it. Raises `DeployError`.
    """
    return {name: _resolve_link(path, root) for name, path in sorted(_iterate_files(flow, root))}


def is_development_file(path: Path, root: Path) -> bool:
    """Return whether `path` is in a flow's folder of evaluation files or tests."""
    parts = path.relative_to(root).parts
    return parts[:1] == ("flows",) and parts[2:3] in ((EVALUATION_FOLDER,), (TESTS_FOLDER,))


def _iterate_files(flow: Flow, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file and its path from the flow's folder."""
    # An evaluation flow may use evaluation files.
    include_all = is_development_file(flow.folder, root)
    for path in _list_folder(flow.folder):
        if include_all or not is_development_file(path, root):
            yield path.relative_to(flow.folder).as_posix(), path
    for include in kinds.get(flow.kind).includes(flow):
        location = f"{display_path(flow.folder / flow.entry)}: additional_includes"
        path = (flow.folder / include).resolve()
        if not path.is_relative_to(root):
            hint = "copy it into the repository"
            raise DeployError(location, f"{include} is outside of the repository", hint)
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            hint = "such files contain settings and secrets; rename it if the image needs it"
            raise DeployError(location, f"{include} has a name that starts with a dot", hint)
        if not path.exists():
            hint = "correct the path, which is relative to the flow's folder"
            raise DeployError(location, f"{include} does not exist", hint)
        if not include_all and is_development_file(path, root):
            message = f"{include} is in a folder that images do not include"
            raise DeployError(location, message, DEVELOPMENT_HINT)
        for file in [path] if path.is_file() else _list_folder(path):
            if include_all or not is_development_file(file, root):
                yield file.relative_to(path.parent).as_posix(), file


def _list_folder(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink()) and _is_included(path, folder)
    ]


def _resolve_link(path: Path, root: Path) -> Path:
    """Return the target of the link `path`, or `path` itself: targets are packed and hashed."""
    if not path.is_symlink():
        return path
    real = path.resolve()
    if not (real.is_file() and real.is_relative_to(root)):
        message = "this link does not lead to a file of the repository"
        raise DeployError(display_path(path), message, "copy the file, or use additional_includes")
    if is_development_file(real, root) and not is_development_file(path, root):
        # Not `display_path`, which follows the link.
        location = path.relative_to(root).as_posix()
        message = "this link leads to a folder that images do not include"
        raise DeployError(location, message, DEVELOPMENT_HINT)
    return real


def hash_files(tree: dict[str, Path]) -> str:
    """Return a hash over the names and the content of `tree`."""
    digest = hashlib.sha256()
    for name, path in tree.items():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


def check_syntax(flow: Flow, tree: dict[str, Path]) -> None:
    """Raise `DeployError` listing every Python file that does not parse, before the slow steps."""
    version = (int(flow.image.python.split(".")[0]), int(flow.image.python.split(".")[1]))
    if sys.version_info < version:
        # A Python older than the image's does not know all of its syntax; packing reports syntax
        # errors in this case.
        return
    problems = []
    for path in (path for path in tree.values() if path.suffix == ".py"):
        try:
            ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            location = f"{display_path(path)}:{error.lineno or 1}"
            problems.append(
                Problem(location, f"Python cannot parse this: {error.msg}", "correct the syntax")
            )
        except (ValueError, RecursionError, MemoryError) as error:
            problems.append(Problem(display_path(path), f"Python cannot parse this: {error}"))
    if problems:
        raise DeployError.from_problems(problems)


def check_connections(flow: Flow, owner: Flow | None = None) -> None:
    """Raise `DeployError` if the flow uses a connection that deploy.yaml does not declare.

    `owner` is the flow whose deploy.yaml counts if `flow` is an evaluation flow.
    """
    hint = (
        f"declare in {display_path((owner or flow).folder / DEPLOY_FILE)} which variables hold "
        "its values"
    )
    problems = [
        Problem(location, f"{DEPLOY_FILE} declares no connection {name}", hint)
        for location, name in kinds.get(flow.kind).connections(flow)
        if name not in flow.connections
    ]
    if problems:
        raise DeployError.from_problems(problems)


def check_packages(flow: Flow, lock: str, owner: Flow | None = None) -> None:
    """Raise `DeployError` if the lock lacks a package that serving this flow needs.

    `owner` is the flow whose lock counts if `flow` is an evaluation flow.
    """
    for name in kinds.get(flow.kind).required_packages(flow):
        if f"\n{name}==" not in f"\n{lock}":
            location = display_path((owner or flow).folder / lock_files.REQUIREMENTS)
            message = (
                f"{display_path(flow.folder) if owner else 'this flow'} cannot run without {name}"
            )
            hint = f"add {name}, then `inv lock --flow {flow.name}`"
            raise DeployError(location, message, hint)


def _is_included(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return not any(
        part in _EXCLUDED_NAMES or part.startswith(".") or part.endswith((".pyc", ".env"))
        for part in parts
    )
