"""YAML files that remember the line of each key."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from deploy.core.errors import DeployError

KeyPath = tuple[str | int, ...]
# The largest number of values in a file. Nested aliases (`*name`) turn a few bytes into millions.
MAX_VALUES = 100_000


@dataclass(frozen=True)
class Document:
    """A YAML mapping, with the line of each of its keys."""

    path: Path
    # The content as plain Python values.
    data: dict[str, Any]
    # The same content as ruamel.yaml's nodes, which know their lines.
    _nodes: CommentedMap

    def where(self, keys: KeyPath = ()) -> str:
        """Return the place of a key for messages: `file:line: key.path`.

        If the key is absent, the line is that of its nearest parent.
        """
        line = self.line(keys)
        path = ".".join(str(key) for key in keys)
        place = f"{display_path(self.path)}:{line}"
        return f"{place}: {path}" if path else place

    def line(self, keys: KeyPath) -> int:
        """Return the line number, from 1, of the key at `keys`."""
        node: Any = self._nodes
        line = 1
        for key in keys:
            if isinstance(node, CommentedMap) and key in node:
                # A merged key (`<<`) has no line of its own here.
                own = (node.lc.data or {}).get(key)
                line = own[0] + 1 if own else line
            elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
                line = node.lc.item(key)[0] + 1
            else:
                break
            node = node[key]
        return line

    def strings(self) -> Iterator[tuple[KeyPath, str]]:
        """Yield every string value with its key path."""
        yield from _iter_strings(self.data, ())


def load(path: Path) -> Document:
    """Return the document in `path`.

    Raises `DeployError` if the file is missing, is not YAML, or is not a mapping.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise DeployError(display_path(path), "there is no such file", "create it") from None
    return parse(path, text)


@functools.lru_cache(maxsize=256)
def parse(path: Path, text: str) -> Document:
    """Return the document in `text`, which is the content of `path` or its beginning.

    Raises `DeployError` like `load`. Results are cached, because a task reads the same files many
    times.
    """
    try:
        nodes = YAML(typ="rt", pure=True).load(text)
        size = _count_values(nodes, {})
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # The message is cut before the value, which may be a secret.
        message = " ".join((error.problem or "this is not YAML").split()).partition(" with value")[
            0
        ]
        raise DeployError(f"{display_path(path)}:{line}", message, "correct the YAML") from None
    except (YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"this cannot be read as YAML ({type(error).__name__})"
        raise DeployError(display_path(path), message, "correct the YAML") from None
    if size > MAX_VALUES:
        message = f"its aliases expand to more than {MAX_VALUES} values"
        raise DeployError(display_path(path), message, "use fewer aliases")
    if not isinstance(nodes, CommentedMap):
        kind = "empty" if nodes is None else f"a {_yaml_type(nodes)}"
        message = f"a mapping of keys and values is expected, this is {kind}"
        raise DeployError(f"{display_path(path)}:1", message, "write `key: value` lines")
    return Document(path, _to_plain(nodes), nodes)


def read_text(path: Path) -> str:
    """Return the text of `path`.

    Raises `DeployError` if it is not UTF-8, and `OSError` if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DeployError(
            display_path(path), "this is not UTF-8 text", "save it as UTF-8"
        ) from None


def display_path(path: Path) -> str:
    """Return `path` for display: relative to the current folder if it is below it."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)


def _count_values(node: Any, known: dict[int, int]) -> int:
    """Return the number of values in `node`, with aliases expanded.

    `known` caches the numbers by the ids of nodes.
    """
    if id(node) not in known:
        children = (
            node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        )
        known[id(node)] = 1 + sum(_count_values(child, known) for child in children)
    return known[id(node)]


def _to_plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _to_plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_to_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        # ruamel's classes for numbers and strings keep the notation; here only the value matters.
        if isinstance(node, kind):
            return kind(node)
    return str(node)


def _yaml_type(node: object) -> str:
    return "list" if isinstance(node, list) else "single value"


def _iter_strings(value: Any, keys: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _iter_strings(inner, (*keys, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _iter_strings(inner, (*keys, index))
    elif isinstance(value, str):
        yield keys, value
