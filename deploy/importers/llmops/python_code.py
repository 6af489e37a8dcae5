"""Python files of the use case: imports to rewrite for promptflow-core, and connection types."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from deploy.importers.llmops import unsupported
from deploy.importers.llmops.entities import Note
from deploy.server.connections import CONNECTION_TYPES

# The module `promptflow` itself requires the full promptflow package; promptflow.core also has the
# names that flows import from it ("promptflow.core" 1.18.5).
CORE_EXPORTS = {
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
# The modules of promptflow-core and of promptflow-tools.
_CORE_MODULES = {"_core", "connections", "contracts", "core", "executor", "tools", "tracing"}
_FROM = re.compile(r"\bfrom(\s+)promptflow(\s+)import\b")
CONNECTION_TYPE_BY_CLASS = {kind.class_name: name for name, kind in CONNECTION_TYPES.items()}


def rewrite_imports(text: str, name: str) -> tuple[str, list[Note]]:
    """Return `text` with imports from promptflow.core, and notes on imports that it does not cover.

    A file with a syntax error is left unchanged: `inv build` reports the error.
    """
    tree = _parse(text)
    lines = text.splitlines(keepends=True)
    notes = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ImportFrom) and node.module == "promptflow" and not node.level:
            if {alias.name for alias in node.names} <= CORE_EXPORTS:
                index = node.lineno - 1
                lines[index] = _FROM.sub(r"from\1promptflow.core\2import", lines[index])
                what = "the import is changed to promptflow.core"
                notes.append(Note(f"{name}:{node.lineno}", what, unsupported.NO_ACTION))
                continue
        elif not any(_is_full_promptflow_module(module) for module in _modules(node)):
            continue
        then = "add promptflow==1.18.5 to requirements.txt, or import from promptflow.core"
        what = "this requires the full promptflow package"
        notes.append(Note(f"{name}:{getattr(node, 'lineno', 1)}", what, then))
    return "".join(lines), notes


def has_tools_import(text: str) -> bool:
    """Return whether the Python code `text` imports promptflow.tools."""
    tree = _parse(text)
    return any(
        module == "promptflow.tools" or module.startswith("promptflow.tools.")
        for node in (ast.walk(tree) if tree else ())
        for module in _modules(node)
    )


def detect_connection_type(text: str, argument: str) -> str | None:
    """Return the connection type in the annotation of `argument` in `text`, or None."""
    tree = _parse(text)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.arg) and node.arg == argument and node.annotation:
            class_name = ast.unparse(node.annotation).rpartition(".")[2]
            if class_name in CONNECTION_TYPE_BY_CLASS:
                return CONNECTION_TYPE_BY_CLASS[class_name]
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


def _is_full_promptflow_module(module: str) -> bool:
    """Return whether `module` is only in the full promptflow package."""
    parts = module.split(".")
    return parts[0] == "promptflow" and (len(parts) == 1 or parts[1] not in _CORE_MODULES)
