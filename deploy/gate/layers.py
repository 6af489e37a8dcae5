"""Secrets in the files of an image's layers, in their names, and in archives among them.

A layer is read by itself, so that what a later one deletes or replaces is seen as well. Files that
a package brought unchanged (their hash is in its RECORD) are not searched for shapes, only for
values. They came from the index with a hash that the lock has, so nobody's secret was added here;
what they hold instead are examples in docstrings, and keys of the SDKs' own telemetry.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.build import dockerfile, packages
from deploy.docker.image_archive import Layer
from deploy.gate import contents, entropy, shapes
from deploy.gate.contents import Contents, File
from deploy.gate.values import Needles

# The flow's own files, in whichever layer they are; the packages are below them.
OWN, PACKAGES = f"{dockerfile.HOME}/", f"{packages.FOLDER}/"
# What finds shapes: a layer that had none by other rules may have one by these.
_RULES = (shapes, entropy, contents)


@dataclass(frozen=True)
class Hit:
    """A secret, or what looks like one. `path` is what an exception may name.

    `rule` is the kind of secret; if the secret is `known`, the variable whose value it is.
    """

    place: str
    path: str
    rule: str
    known: bool = False
    line: int | None = None


def search(layer: Layer, where: str, wanted: Needles, cache: Path | None) -> Iterator[Hit]:
    """Yield every secret in `layer`, which messages call `where`.

    Layers without any shape are remembered in the folder `cache`, since those of the base and the
    packages are the same in most images. What is `wanted` is looked for each time, and not kept.
    """
    with contents.opened(layer, where) as inside:
        packed = _recall(cache, layer)
        clean = packed is not None
        if packed is None:
            packed = [file for file in inside.files if file.packed]
        yield from _values(inside, packed, where, wanted)
        if not clean:
            shapes = list(_shapes(inside, where))
            yield from shapes
            if not shapes:
                _remember(cache, layer, packed)


def _values(inside: Contents, packed: list[File], where: str, wanted: Needles) -> Iterator[Hit]:
    if not wanted.longest:
        return
    for start, block in inside.blocks(wanted.longest - 1):
        for name, begin in wanted.find(block):
            found = inside.at(start + begin)
            file, offset = found or (File("", 0, 0), -1)
            line = _line(inside.read(file), offset) if offset >= 0 else None
            yield _hit(file.path, where, name, line, known=True)
    for file in packed:
        for path, content in contents.unpacked(file.path, inside.read(file)):
            for name, begin in wanted.find(content):
                yield _hit(path, where, name, _line(content, begin), known=True)


def _shapes(inside: Contents, where: str) -> Iterator[Hit]:
    for file in inside.files:
        for rule, _, _ in shapes.find(file.path.encode("utf-8", "surrogateescape")):
            yield _hit(file.path, where, rule)
        if file.path in inside.published and not _own(file.path):
            continue
        content = inside.read(file)
        inner = contents.unpacked(file.path, content) if file.packed else ()
        for path, data in ((file.path, content), *inner):
            found = list(shapes.find(data))
            if _own(path) and entropy.applies(path):
                found += entropy.find(path, data)
            for rule, begin, _ in found:
                yield _hit(path, where, rule, _line(data, begin))


def _own(path: str) -> bool:
    return path.startswith(OWN) and not path.startswith(PACKAGES)


def _hit(path: str, where: str, rule: str, line: int | None = None, known: bool = False) -> Hit:
    return Hit(f"/{path} ({where})", path, rule, known, line)


def _line(content: bytes, offset: int) -> int | None:
    """Return the line of `offset`, from 1; None where `content` is no text."""
    return None if b"\0" in content else content.count(b"\n", 0, offset) + 1


def _recall(cache: Path | None, layer: Layer) -> list[File] | None:
    """Return the archives in a layer that had no secret by shape; None where that is not known."""
    try:
        record = json.loads(_file(cache, layer).read_text(encoding="utf-8")) if cache else {}
        return (
            [File(*file) for file in record["archives"]]
            if record.get("rules") == _version()
            else None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remember(cache: Path | None, layer: Layer, packed: list[File]) -> None:
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        archives = [[file.path, file.start, file.size] for file in packed]
        record = {"rules": _version(), "archives": archives}
        file = _file(cache, layer)
        # Whole or not at all, and two pushes may come to the same layer.
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        temporary.replace(file)


def _file(cache: Path, layer: Layer) -> Path:
    return cache / f"{layer.digest.replace(':', '-')}.json"


def _version() -> str:
    """Return a hash of the code that finds shapes: nobody has to think of raising a number."""
    paths = [Path(__file__), *(Path(str(module.__file__)) for module in _RULES)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
