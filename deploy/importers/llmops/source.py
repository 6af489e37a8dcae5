"""Reading of the source repository's files, with the location of every key for messages."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.core import yaml_files
from deploy.core.errors import DeployError
from deploy.core.yaml_files import Document, KeyPath

# The largest file to copy, in bytes: a use case is read completely before anything is written.
MAX_FILE_SIZE = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """A mapping within a source file."""

    document: Document
    key_path: KeyPath = ()

    @property
    def value(self) -> Any:
        """Return the mapping itself."""
        node: Any = self.document.data
        for key in self.key_path:
            node = node[key]
        return node

    def where(self, *keys: str | int) -> str:
        """Return `file:line: key.path`, with the file relative to the source repository."""
        return self.document.where((*self.key_path, *keys))

    def has(self, key: str) -> bool:
        """Return whether `key` has a value; the template's files contain many empty keys."""
        return self.value.get(key) not in (None, "", [], {})

    def get_text(self, key: str) -> str:
        """Return the text at `key`, or an empty string without a value.

        Raise `DeployError` for a list or a mapping.
        """
        value = self.value.get(key)
        if isinstance(value, (dict, list)):
            raise DeployError(self.where(key), "one value is expected", "correct it there")
        return "" if value is None else str(value).strip()

    def require_text(self, key: str) -> str:
        """Return the text at `key`. Raise `DeployError` if it is missing."""
        text = self.get_text(key)
        if not text:
            raise DeployError(self.where(), f"the key {key} is missing", "add it there")
        return text

    def get_source(self, key: str) -> Source | None:
        """Return the mapping at `key`, or None. Raise `DeployError` for any other value."""
        if not self.has(key):
            return None
        if not isinstance(self.value[key], dict):
            raise DeployError(self.where(key), "a mapping is expected", "correct it there")
        return Source(self.document, (*self.key_path, key))

    def list_sources(self, key: str) -> list[Source]:
        """Return the mappings in the list or mapping at `key`. Raise `DeployError` otherwise."""
        entries = self.value.get(key) or []
        if not isinstance(entries, (dict, list)):
            raise DeployError(self.where(key), "a list is expected", "correct it there")
        keys: list[Any] = list(entries) if isinstance(entries, dict) else list(range(len(entries)))
        for entry_key in keys:
            if not isinstance(entries[entry_key], dict):
                raise DeployError(
                    self.where(key, entry_key), "a mapping is expected", "correct it there"
                )
        return [Source(self.document, (*self.key_path, key, entry_key)) for entry_key in keys]

    def get_mapping(self, key: str) -> Mapping[str, Any]:
        """Return the mapping at `key`, or an empty one. Raise `DeployError` for other values."""
        inner = self.get_source(key)
        return inner.value if inner else {}


def read_source(root: Path, path: Path) -> Source:
    """Read a JSON or YAML file of the source repository. Raise `DeployError` if it is invalid."""
    name = path.relative_to(root)
    text = read_text(root, path)
    if path.suffix != ".json":
        return Source(yaml_files.parse(name, text))
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{name.as_posix()}:{error.lineno}"
        raise DeployError(where, f"this is not JSON: {error.msg}", "correct it there") from None
    except RecursionError:
        raise DeployError(name.as_posix(), "it nests too deeply", "correct it there") from None
    # Parse JSON as YAML to get line numbers. YAML forbids tabs between tokens, and JSON strings
    # contain no raw tabs.
    document = yaml_files.parse(name, text.replace("\t", " "))
    return Source(dataclasses.replace(document, data=data))


def read_text(root: Path, path: Path) -> str:
    """Return the text of a source file. Raise `DeployError` if it cannot be read."""
    try:
        return read_bytes(root, path).decode("utf-8-sig")
    except UnicodeDecodeError:
        name = path.relative_to(root).as_posix()
        raise DeployError(name, "this is not UTF-8 text", "save it as UTF-8 there") from None


def read_bytes(root: Path, path: Path) -> bytes:
    """Return the content of a source file.

    Raise `DeployError` for a symbolic link, which could point outside, and for an unreadable file.
    """
    name = path.relative_to(root).as_posix()
    if not name.isprintable():
        what = "its name has characters that cannot be shown"
        raise DeployError(ascii(name), what, "rename it there")
    if any(part.is_symlink() for part in (path, *path.parents) if part.is_relative_to(root)):
        raise DeployError(name, "this is a symbolic link", "put the file itself there")
    if not path.is_file():
        raise DeployError(name, "this is not a file", "correct it there")
    try:
        if path.stat().st_size > MAX_FILE_SIZE:
            what = f"it is larger than {MAX_FILE_SIZE // 2**20} MB"
            raise DeployError(name, what, "move it out: a flow loads such files from elsewhere")
        return path.read_bytes()
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        raise DeployError(name, what, "correct it there") from None


def resolve_path(root: Path, folder: Path, path: str, where: str) -> Path:
    """Return `path` below `folder`. Raise `DeployError` at `where` if it leaves the folder."""
    # Check only the text of the path: `read_bytes` rejects links.
    parts = Path(path.replace("\\", "/"))
    resolved = Path(folder, *[part for part in parts.parts if part != "."])
    if parts.is_absolute() or ".." in parts.parts:
        what = f"{path} is outside of {folder.relative_to(root).as_posix()}"
        raise DeployError(where, what, "move it there, and correct the path")
    return resolved
