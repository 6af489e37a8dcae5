"""YAML files that remember where each key stands."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from deploy.errors import DeployError

KeyPath = tuple[str | int, ...]
# Values that a file may come to: aliases of aliases (`*name`) are few bytes, and millions of them.
MOST = 100_000


@dataclass(frozen=True)
class Document:
    """A YAML mapping: plain values in `data`, and the place of each key by `where`."""

    path: Path
    data: dict[str, Any]
    _nodes: CommentedMap

    def where(self, keys: KeyPath = ()) -> str:
        """Return `file:line: key.path` for messages.

        The line of the nearest parent where the key is absent.
        """
        line = self.line(keys)
        path = ".".join(str(key) for key in keys)
        place = f"{show(self.path)}:{line}"
        return f"{place}: {path}" if path else place

    def line(self, keys: KeyPath) -> int:
        """Return the line, from 1, on which the key at `keys` stands."""
        node: Any = self._nodes
        line = 1
        for key in keys:
            if isinstance(node, CommentedMap) and key in node:
                # A key that was merged in (`<<`) has no place of its own here.
                own = (node.lc.data or {}).get(key)
                line = own[0] + 1 if own else line
            elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
                line = node.lc.item(key)[0] + 1
            else:
                break
            node = node[key]
        return line

    def texts(self) -> Iterator[tuple[KeyPath, str]]:
        """Yield every string value with its key path."""
        yield from _texts(self.data, ())


def load(path: Path) -> Document:
    """Read `path`. Raises `DeployError` where it is missing, not YAML, or not a mapping."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise DeployError(show(path), "there is no such file", "create it") from None
    return parse(path, text)


@functools.lru_cache(maxsize=256)
def parse(path: Path, text: str) -> Document:
    """Return `text`, the content of `path` or the start of it. Raises `DeployError` like `load`.

    The same files are asked for many times in a task.
    """
    try:
        nodes = YAML(typ="rt", pure=True).load(text)
        size = _size(nodes, {})
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # Only what is before a value: it may be a secret.
        what = " ".join((error.problem or "this is not YAML").split()).partition(" with value")[0]
        raise DeployError(f"{show(path)}:{line}", what, "correct the YAML") from None
    except (YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"this cannot be read as YAML ({type(error).__name__})"
        raise DeployError(show(path), what, "correct the YAML") from None
    if size > MOST:
        what = f"its aliases come to more than {MOST} values"
        raise DeployError(show(path), what, "write out what they stand for, or less of it")
    if not isinstance(nodes, CommentedMap):
        kind = "empty" if nodes is None else f"a {_yaml_type(nodes)}"
        what = f"a mapping of keys and values is expected, this is {kind}"
        raise DeployError(f"{show(path)}:1", what, "write `key: value` lines")
    return Document(path, _plain(nodes), nodes)


def read_text(path: Path) -> str:
    """Return the text of `path`. Raises `DeployError` where it is no UTF-8; `OSError` otherwise."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DeployError(show(path), "this is not UTF-8 text", "save it as UTF-8") from None


def show(path: Path) -> str:
    """Return `path` as a user would type it: relative to the current folder, where below it."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)


def _size(node: Any, known: dict[int, int]) -> int:
    """Return how many values `node` comes to; `known` holds those of nodes, by their ids."""
    if id(node) not in known:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        known[id(node)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(node)]


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        # ruamel's own number and string classes remember their notation; only the value matters
        # here.
        if isinstance(node, kind):
            return kind(node)
    return str(node)


def _yaml_type(node: object) -> str:
    return "list" if isinstance(node, list) else "single value"


def _texts(value: Any, keys: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*keys, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*keys, index))
    elif isinstance(value, str):
        yield keys, value
