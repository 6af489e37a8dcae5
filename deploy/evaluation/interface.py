"""What a flow takes and gives, read from its files: nothing of it is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import documents
from deploy.documents import show
from deploy.errors import DeployError
from deploy.model import Flow

_FRONT = re.compile(r"\A---\s*\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Interface:
    """The names of a flow's inputs, each with whether it must be given; and of its outputs.

    `inputs` is None where any name will do, `outputs` where only a run tells.
    """

    inputs: Mapping[str, bool] | None
    outputs: frozenset[str] | None


def of(flow: Flow) -> Interface:
    """Return the interface of `flow`. Raises `DeployError` where its entry cannot be read."""
    path = flow.folder / flow.entry
    if flow.kind == "prompty":
        return Interface(_declared(_front(path).get("inputs")), None)
    data = documents.load(path).data
    if flow.kind == "dag":
        outputs = data.get("outputs")
        return Interface(
            _declared(data.get("inputs")), frozenset(outputs if isinstance(outputs, dict) else ())
        )
    if isinstance(data.get("inputs"), dict):
        return Interface(_declared(data["inputs"]), None)
    return Interface(_arguments(flow.folder, path, str(data.get("entry") or "")), None)


def _declared(inputs: Any) -> dict[str, bool]:
    """Return what a mapping of inputs declares: without a default, an input must be given."""
    if not isinstance(inputs, dict):
        return {}
    return {
        name: not (isinstance(about, dict) and about.get("default") is not None)
        for name, about in inputs.items()
    }


def _front(path: Path) -> dict[str, Any]:
    """Return what stands between the two lines of hyphens of a prompty."""
    found = _FRONT.match(documents.read_text(path))
    return documents.parse(path, found[1]).data if found else {}


def _arguments(folder: Path, path: Path, entry: str) -> dict[str, bool] | None:
    """Return the arguments of the function, or of the class's `__call__`, that `entry` names."""
    module, _, name = entry.partition(":")
    file = folder / f"{module.replace('.', '/')}.py"
    if not (name and file.is_file()):
        what = f"its entry {entry!r} names no function or class of a file beside it"
        raise DeployError(show(path), what, "write `entry: module:function`")
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        # Told by the check of all files.
        return None
    found = _named(body, name)
    if isinstance(found, ast.ClassDef):
        found = _named(found.body, "__call__")
    if not isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
        # Imported from elsewhere, or inherited.
        return None
    given = found.args
    if given.kwarg:
        return None
    places = [*given.posonlyargs, *given.args]
    first = len(places) - len(given.defaults)
    taken = {one.arg: index < first for index, one in enumerate(places) if one.arg != "self"}
    keywords = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return {**taken, **{one.arg: default is None for one, default in keywords}}


def _named(body: Iterable[ast.stmt], name: str) -> ast.stmt | None:
    return next((one for one in body if getattr(one, "name", None) == name), None)
