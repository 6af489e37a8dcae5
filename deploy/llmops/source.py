"""Their files: read with care, and with the place of every key for messages."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import documents
from deploy.documents import Document, KeyPath
from deploy.errors import DeployError

# Of a file that is copied, in bytes: all of a use case is read before anything is written.
LARGEST = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """A mapping within one of their files."""

    document: Document
    at: KeyPath = ()

    @property
    def value(self) -> Any:
        """What stands there."""
        found: Any = self.document.data
        for key in self.at:
            found = found[key]
        return found

    def where(self, *keys: str | int) -> str:
        """Return `file:line: key.path`; the file is relative to their repository."""
        return self.document.where((*self.at, *keys))

    def has(self, key: str) -> bool:
        """Tell whether something stands at `key`; the template's files are full of empty keys."""
        return self.value.get(key) not in (None, "", [], {})

    def text(self, key: str) -> str:
        """Return the text at `key`, empty where there is none.

        Raises `DeployError` for a list or a mapping.
        """
        found = self.value.get(key)
        if isinstance(found, (dict, list)):
            raise DeployError(self.where(key), "one value is expected", "correct it there")
        return "" if found is None else str(found).strip()

    def needed(self, key: str) -> str:
        """Return the text at `key`. Raises `DeployError` where there is none."""
        found = self.text(key)
        if not found:
            raise DeployError(self.where(), f"the key {key} is missing", "add it there")
        return found

    def inner(self, key: str) -> Source | None:
        """Return the mapping at `key`, None where there is none. Raises `DeployError`."""
        if not self.has(key):
            return None
        if not isinstance(self.value[key], dict):
            raise DeployError(self.where(key), "a mapping is expected", "correct it there")
        return Source(self.document, (*self.at, key))

    def each(self, key: str) -> list[Source]:
        """Return the mappings in the list, or in the mapping, at `key`. Raises `DeployError`."""
        found = self.value.get(key) or []
        if not isinstance(found, (dict, list)):
            raise DeployError(self.where(key), "a list is expected", "correct it there")
        keys: list[Any] = list(found) if isinstance(found, dict) else list(range(len(found)))
        for one in keys:
            if not isinstance(found[one], dict):
                raise DeployError(self.where(key, one), "a mapping is expected", "correct it there")
        return [Source(self.document, (*self.at, key, one)) for one in keys]

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return the values at `key`, none where there are none. Raises `DeployError`."""
        inner = self.inner(key)
        return inner.value if inner else {}


def read(root: Path, path: Path) -> Source:
    """Read a JSON or YAML file of theirs. Raises `DeployError` where it is not one."""
    name = path.relative_to(root)
    text = read_text(root, path)
    if path.suffix != ".json":
        return Source(documents.parse(name, text))
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{name.as_posix()}:{error.lineno}"
        raise DeployError(where, f"this is not JSON: {error.msg}", "correct it there") from None
    except RecursionError:
        raise DeployError(name.as_posix(), "it nests too deeply", "correct it there") from None
    # JSON is YAML, but for tabs between tokens; in a text JSON has none. That gives the lines.
    document = documents.parse(name, text.replace("\t", " "))
    return Source(dataclasses.replace(document, data=data))


def read_text(root: Path, path: Path) -> str:
    """Return the text of a file of theirs. Raises `DeployError` where it cannot be read."""
    try:
        return read_bytes(root, path).decode("utf-8-sig")
    except UnicodeDecodeError:
        name = path.relative_to(root).as_posix()
        raise DeployError(name, "this is not UTF-8 text", "save it as UTF-8 there") from None


def read_bytes(root: Path, path: Path) -> bytes:
    """Return the content of a file of theirs.

    Raises `DeployError` for a link, which may lead anywhere, and for what cannot be read.
    """
    name = path.relative_to(root).as_posix()
    if not name.isprintable():
        what = "its name has characters that cannot be shown"
        raise DeployError(ascii(name), what, "rename it there")
    if any(part.is_symlink() for part in (path, *path.parents) if part.is_relative_to(root)):
        raise DeployError(name, "this is a link", "put the file itself there")
    if not path.is_file():
        raise DeployError(name, "this is no file", "correct it there")
    try:
        if path.stat().st_size > LARGEST:
            what = f"it is larger than {LARGEST // 2**20} MB"
            raise DeployError(name, what, "move it out: a flow loads such files from elsewhere")
        return path.read_bytes()
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        raise DeployError(name, what, "correct it there") from None


def inside(root: Path, folder: Path, path: str, where: str) -> Path:
    """Return `path`, which `where` names, below `folder`. Raises `DeployError` if it leads out."""
    # As text: what is a link is refused when it is read.
    parts = Path(path.replace("\\", "/"))
    found = Path(folder, *[part for part in parts.parts if part != "."])
    if parts.is_absolute() or ".." in parts.parts:
        what = f"{path} leads out of {folder.relative_to(root).as_posix()}"
        raise DeployError(where, what, "move it there, and correct the path")
    return found
