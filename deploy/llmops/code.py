"""Python files of theirs: imports that promptflow-core has elsewhere, and types of connections."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from deploy.llmops import leaving
from deploy.llmops.model import Note
from deploy.runtime.connections import TYPES

# `promptflow` itself is a module of the whole of promptflow; what flows take from it is in
# promptflow.core, too ("promptflow.core" 1.18.5).
CORE = {
    "AsyncFlow",
    "AsyncPrompty",
    "AzureOpenAIModelConfiguration",
    "Flow",
    "ModelConfiguration",
    "OpenAIModelConfiguration",
    "Prompty",
    "ToolProvider",
    "log_metric",
    "tool",
}
# Modules of promptflow-core, and the one of promptflow-tools.
_THERE = {"_core", "connections", "contracts", "core", "executor", "tools", "tracing"}
_FROM = re.compile(r"\bfrom(\s+)promptflow(\s+)import\b")
OF_CLASS = {kind.class_name: name for name, kind in TYPES.items()}


def moved(text: str, name: str) -> tuple[str, list[Note]]:
    """Return the Python file `text` with imports from promptflow.core, and what that cannot do.

    A file that Python cannot read stays as it is: `inv build` tells where.
    """
    tree = _parse(text)
    lines = text.splitlines(keepends=True)
    notes = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ImportFrom) and node.module == "promptflow" and not node.level:
            if {alias.name for alias in node.names} <= CORE:
                at = node.lineno - 1
                lines[at] = _FROM.sub(r"from\1promptflow.core\2import", lines[at])
                what = "it imports from promptflow.core here"
                notes.append(Note(f"{name}:{node.lineno}", what, leaving.NOTHING))
                continue
        elif not any(_whole(module) for module in _modules(node)):
            continue
        then = "add promptflow==1.18.5 to requirements.txt, or import from promptflow.core"
        what = "this needs the whole of promptflow"
        notes.append(Note(f"{name}:{getattr(node, 'lineno', 1)}", what, then))
    return "".join(lines), notes


def imports_tools(text: str) -> bool:
    """Tell whether the Python file `text` imports promptflow.tools."""
    tree = _parse(text)
    return any(
        module == "promptflow.tools" or module.startswith("promptflow.tools.")
        for node in (ast.walk(tree) if tree else ())
        for module in _modules(node)
    )


def connection_type(text: str, argument: str) -> str | None:
    """Return the type of connection that a function of `text` says that `argument` has."""
    tree = _parse(text)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.arg) and node.arg == argument and node.annotation:
            named = ast.unparse(node.annotation).rpartition(".")[2]
            if named in OF_CLASS:
                return OF_CLASS[named]
    return None


def _parse(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _modules(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)


def _whole(module: str) -> bool:
    """Tell whether `module` comes with the whole of promptflow alone."""
    parts = module.split(".")
    return parts[0] == "promptflow" and (len(parts) == 1 or parts[1] not in _THERE)
