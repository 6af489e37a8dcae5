"""Read a flow's inputs and outputs from its files, without importing its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.core import yaml_files
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path

_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class FlowSignature:
    """The names of a flow's inputs and outputs."""

    # Whether each input is required; None if the flow accepts any name.
    inputs: Mapping[str, bool] | None
    # None if they are known only after a run.
    outputs: frozenset[str] | None


def read_signature(flow: Flow) -> FlowSignature:
    """Return the signature of `flow`. Raise `DeployError` if its entry cannot be read."""
    path = flow.folder / flow.entry
    if flow.kind == "prompty":
        return FlowSignature(_parse_inputs(_read_front_matter(path).get("inputs")), None)
    data = yaml_files.load(path).data
    if flow.kind == "dag":
        outputs = data.get("outputs")
        return FlowSignature(
            _parse_inputs(data.get("inputs")),
            frozenset(outputs if isinstance(outputs, dict) else ()),
        )
    if isinstance(data.get("inputs"), dict):
        return FlowSignature(_parse_inputs(data["inputs"]), None)
    return FlowSignature(
        _read_entry_arguments(flow.folder, path, str(data.get("entry") or "")), None
    )


def _parse_inputs(inputs: Any) -> dict[str, bool]:
    """Return whether each declared input is required: one without a default is."""
    if not isinstance(inputs, dict):
        return {}
    return {
        name: not (isinstance(declaration, dict) and declaration.get("default") is not None)
        for name, declaration in inputs.items()
    }


def _read_front_matter(path: Path) -> dict[str, Any]:
    """Return the YAML between the two lines of hyphens in a prompty file."""
    match = _FRONT_MATTER.match(yaml_files.read_text(path))
    return yaml_files.parse(path, match[1]).data if match else {}


def _read_entry_arguments(folder: Path, path: Path, entry: str) -> dict[str, bool] | None:
    """Return the arguments of the function, or of the class's `__call__`, that `entry` names."""
    module, _, name = entry.partition(":")
    file = folder / f"{module.replace('.', '/')}.py"
    if not (name and file.is_file()):
        message = f"the entry {entry!r} does not name a function or class of a file in this folder"
        raise DeployError(display_path(path), message, "write `entry: module:function`")
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        # The syntax check of all files reports it.
        return None
    definition = _find_definition(body, name)
    if isinstance(definition, ast.ClassDef):
        definition = _find_definition(definition.body, "__call__")
    if not isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
        # Imported from elsewhere, or inherited.
        return None
    arguments = definition.args
    if arguments.kwarg:
        return None
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    required = {
        argument.arg: index < first_default
        for index, argument in enumerate(positional)
        if argument.arg != "self"
    }
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {**required, **{argument.arg: default is None for argument, default in keywords}}


def _find_definition(body: Iterable[ast.stmt], name: str) -> ast.stmt | None:
    return next((statement for statement in body if getattr(statement, "name", None) == name), None)
