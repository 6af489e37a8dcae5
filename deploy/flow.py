"""A flow's files: which of them count, and what can be told of them before the slow steps."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy import documents, locks
from deploy.config import DEPLOY
from deploy.documents import show
from deploy.errors import DeployError, Problem
from deploy.model import Flow

# The folder in a flow's folder that holds data sets and evaluation flows: no image has it.
EVALUATION = "evaluation"
# What is in a flow's folder and not part of the flow: configuration of environments, what was
# installed from already, and what tools leave behind.
_LEFT_OUT_NAMES = {DEPLOY, locks.REQUIREMENTS, locks.LOCK, "__pycache__"}


def files(flow: Flow, root: Path) -> dict[str, Path]:
    """Return the files of `flow` by their path from `root`, its additional includes among them.

    What it is evaluated with is not among them. Raises `DeployError` where an include is missing,
    lies outside of the repository, or is of an evaluation.
    """
    found = sorted({path for _, path in _placed(flow, root)})
    return {path.relative_to(root).as_posix(): _real(path, root) for path in found}


def laid_out(flow: Flow, root: Path) -> dict[str, Path]:
    """Return the same files by the path at which the flow finds them: from its own folder.

    Includes are there by their last name, as `pf flow build` puts them. Raises `DeployError`.
    """
    return {name: _real(path, root) for name, path in sorted(_placed(flow, root))}


def of_evaluation(path: Path, root: Path) -> bool:
    """Tell whether `path` is in the folder of a flow that is for its evaluation alone."""
    parts = path.relative_to(root).parts
    return parts[:1] == ("flows",) and parts[2:3] == (EVALUATION,)


def _placed(flow: Flow, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file with where the flow finds it."""
    # An evaluation flow may have what is for evaluations.
    every = of_evaluation(flow.folder, root)
    for path in _inside(flow.folder):
        if every or not of_evaluation(path, root):
            yield path.relative_to(flow.folder).as_posix(), path
    for include in includes(flow):
        where = f"{show(flow.folder / flow.entry)}: additional_includes"
        path = (flow.folder / include).resolve()
        if not path.is_relative_to(root):
            hint = "copy it into the repository"
            raise DeployError(where, f"{include} is outside of the repository", hint)
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            hint = "such files hold settings and secrets; name it without a dot if it must be there"
            raise DeployError(where, f"{include} has a name that starts with a dot", hint)
        if not path.exists():
            hint = "correct the path: it starts at the flow's folder"
            raise DeployError(where, f"{include} is not there", hint)
        if not every and of_evaluation(path, root):
            hint = "what an evaluation is made of reaches no image; put it elsewhere if it must"
            raise DeployError(where, f"{include} is of an evaluation", hint)
        for one in [path] if path.is_file() else _inside(path):
            if every or not of_evaluation(one, root):
                yield one.relative_to(path.parent).as_posix(), one


def includes(flow: Flow) -> list[str]:
    """Return the additional includes as they are written: paths from the flow's folder."""
    if flow.kind == "prompty":
        return []
    data = documents.load(flow.folder / flow.entry).data
    includes = data.get("additional_includes") or []
    if not isinstance(includes, list):
        where = f"{show(flow.folder / flow.entry)}: additional_includes"
        raise DeployError(where, "a list of paths is expected", "write one `- path` a line")
    return [str(include) for include in includes]


def _inside(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink()) and _counts(path, folder)
    ]


def _real(path: Path, root: Path) -> Path:
    """Return the file behind `path`: what a link leads to is what is packed and hashed."""
    if not path.is_symlink():
        return path
    real = path.resolve()
    if not (real.is_file() and real.is_relative_to(root)):
        what = "this link does not lead to a file of the repository"
        raise DeployError(show(path), what, "copy the file, or use additional_includes")
    if of_evaluation(real, root) and not of_evaluation(path, root):
        hint = "what an evaluation is made of reaches no image; copy the file if it must"
        # Not `show`, which follows the link.
        where = path.relative_to(root).as_posix()
        raise DeployError(where, "this link leads to a file of an evaluation", hint)
    return real


def fingerprint(tree: dict[str, Path]) -> str:
    """Return a hash over the names and the content of `tree`."""
    digest = hashlib.sha256()
    for name, path in tree.items():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


def check_syntax(flow: Flow, tree: dict[str, Path]) -> None:
    """Raise `DeployError` with every Python file that does not parse, before the slow steps."""
    version = (int(flow.image.python.split(".")[0]), int(flow.image.python.split(".")[1]))
    if sys.version_info < version:
        # An older Python than the image's does not know all of its syntax; packing will find the
        # error.
        return
    problems = []
    for path in (path for path in tree.values() if path.suffix == ".py"):
        try:
            ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            where = f"{show(path)}:{error.lineno or 1}"
            problems.append(
                Problem(where, f"Python cannot read this: {error.msg}", "correct the syntax")
            )
        except (ValueError, RecursionError, MemoryError) as error:
            problems.append(Problem(show(path), f"Python cannot read this: {error}"))
    if problems:
        raise DeployError.of(problems)


def check_connections(flow: Flow, owner: Flow | None = None) -> None:
    """Raise `DeployError` where a node names a connection that deploy.yaml does not declare.

    `owner` is whose deploy.yaml that is, where `flow` is one that evaluates it.
    """
    if flow.kind != "dag":
        # The code of a flex flow and the front of a prompty are read when the container starts.
        return
    document = documents.load(flow.folder / flow.entry)
    hint = f"declare in {show((owner or flow).folder / DEPLOY)} which variables hold its values"
    problems = [
        Problem(document.where(keys), f"{DEPLOY} declares no connection {name}", hint)
        for keys, name in document.texts()
        if keys[0] in ("nodes", "node_variants") and keys[-1] == "connection"
        # An empty name is what the editor writes for "none"; a reference is known at run time.
        if name and "${" not in name and name not in flow.connections
    ]
    if problems:
        raise DeployError.of(problems)


def check_packages(flow: Flow, lock: str, owner: Flow | None = None) -> None:
    """Raise `DeployError` where the lock lacks a package that running this kind of flow needs.

    `owner` is whose lock that is, where `flow` is one that evaluates it.
    """
    needed = ["promptflow-core"]
    if flow.kind == "dag":
        nodes = documents.load(flow.folder / flow.entry).texts()
        if any(keys[-1] == "type" and text in ("llm", "prompt") for keys, text in nodes):
            needed.append("promptflow-tools")
    for name in needed:
        if f"\n{name}==" not in f"\n{lock}":
            where = show((owner or flow).folder / locks.REQUIREMENTS)
            what = f"{show(flow.folder) if owner else 'this flow'} cannot run without {name}"
            hint = f"add {name}, then `inv lock --flow {flow.name}`"
            raise DeployError(where, what, hint)


def _counts(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return not any(
        part in _LEFT_OUT_NAMES or part.startswith(".") or part.endswith((".pyc", ".env"))
        for part in parts
    )
