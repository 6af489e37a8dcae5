"""Secrets in the files of an image's layers, in their names, and in archives among them.

A layer is read by itself, so that what a later one deletes or replaces is seen as well. Files that
a package brought unchanged (`packaged`) are not searched for patterns, only for known values: they
were published, so no secret of yours was added. What they hold instead are examples in manuals and
docstrings, keys for self-tests of libraries, and keys of the SDKs' own telemetry.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.build import dockerfile, packages
from deploy.docker import image_archive, tar_files
from deploy.docker.image_archive import Layer
from deploy.gate import archives, contents, encodings, entropy, packaged, shapes
from deploy.gate.contents import Contents, File
from deploy.gate.values import Needles

# The flow's own files, in whichever layer they are; the packages are below them.
OWN, PACKAGES = f"{dockerfile.HOME}/", f"{packages.FOLDER}/"
# What finds patterns: a layer that had none by other rules may have one by these.
_RULES = (shapes, encodings, entropy, contents, archives, packaged, image_archive, tar_files)


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


@dataclass(frozen=True)
class Suspect:
    """A match of a pattern, which is no finding if the file that holds it is a package's."""

    path: str
    rule: str
    line: int | None
    # Of that file; of bytecode also its source's, of a file in an archive also the archive's.
    digests: frozenset[str]


@dataclass(frozen=True)
class Outline:
    """What a layer has whatever the other layers and the environment are."""

    archives: tuple[File, ...]
    # Lists of the checksums of packages.
    lists: tuple[File, ...]
    suspects: tuple[Suspect, ...]


@dataclass
class _Searched:
    """A layer, the known values in it, and what must be judged when all layers are searched."""

    layer: Layer
    outline: Outline
    checksums: frozenset[str]
    remembered: bool
    known: list[Hit] = field(default_factory=list)


def search(layers: Sequence[Layer], wanted: Needles, cache: Path | None) -> Iterator[Hit]:
    """Yield every secret in `layers`.

    Outlines of layers without a finding are remembered in the folder `cache`, since the layers of
    the base and the packages are the same in most images. What is `wanted` is looked for each time
    and not kept. No verdict is kept either: the list that has a file's checksum may be in another
    layer, as each installation of a Debian package writes a part of dpkg's database.
    """
    # An image may have a layer twice, often an empty one.
    unique = {layer.digest: layer for layer in reversed(layers)}
    ordered = sorted(unique.values(), key=lambda layer: layer.number)
    searched = [_search(layer, wanted, cache) for layer in ordered]
    checksums = frozenset().union(*(one.checksums for one in searched))
    for one in searched:
        yield from one.known
        found = [hit for hit in one.outline.suspects if not hit.digests & checksums]
        yield from (_hit(hit.path, one.layer, hit.rule, hit.line) for hit in found)
        if not found and not one.remembered:
            _remember(cache, one.layer, one.outline)


def _search(layer: Layer, wanted: Needles, cache: Path | None) -> _Searched:
    outline = _recall(cache, layer)
    remembered = outline is not None
    with contents.opened(layer) as inside:
        lists = outline.lists if outline else _lists(inside)
        checksums = frozenset(
            found for file in lists for found in packaged.checksums(file.path, inside.read(file))
        )
        if outline is None:
            outline = _outline(inside, lists, checksums)
        known = list(_values(inside, outline.archives, layer, wanted))
    return _Searched(layer, outline, checksums, remembered, known)


def _lists(inside: Contents) -> tuple[File, ...]:
    """Return the lists of checksums in a layer: a flow's own files came from no package index."""
    files = (file for file in inside.files if packaged.is_list(file.path))
    return tuple(file for file in files if not _own(file.path))


def _values(
    inside: Contents, packed: Sequence[File], layer: Layer, wanted: Needles
) -> Iterator[Hit]:
    if not wanted.longest:
        return
    for start, block in inside.blocks(wanted.longest - 1):
        for name, begin in wanted.find(block):
            found = inside.at(start + begin)
            file, offset = found or (File("", 0, 0), -1)
            line = _line(inside.read(file), offset) if offset >= 0 else None
            yield _hit(file.path, layer, name, line, known=True)
    for file in packed:
        for path, content in archives.unpacked(file.path, inside.read(file)):
            for name, begin in wanted.find(content):
                yield _hit(path, layer, name, _line(content, begin), known=True)


def _outline(inside: Contents, lists: tuple[File, ...], checksums: frozenset[str]) -> Outline:
    """Search a layer for patterns, but for files whose checksum is known already.

    Most lists are in the layer of the files that they are about, and a file is hashed ten times
    faster than it is searched.
    """
    packed: list[File] = []
    suspects: list[Suspect] = []
    for file in inside.files:
        for rule, _, _ in shapes.find(file.path.encode("utf-8", "surrogateescape")):
            suspects.append(Suspect(file.path, rule, None, frozenset()))
        content = inside.read(file)
        is_archive = archives.is_archive(file.path, content)
        if is_archive:
            packed.append(file)
        digests = _digests(inside, file, content)
        if digests & checksums:
            continue
        suspects += _matches(file.path, content, digests)
        for path, data in archives.unpacked(file.path, content) if is_archive else ():
            also = packaged.digests(data) if digests else frozenset()
            suspects += _matches(path, data, digests | also)
    return Outline(tuple(packed), lists, tuple(suspects))


def _digests(inside: Contents, file: File, content: bytes) -> frozenset[str]:
    """Return the checksums by which `file` may be a package's; none for a flow's own.

    Bytecode counts as its source, from which a build has made it.
    """
    if _own(file.path):
        return frozenset()
    source = inside.by_path.get(contents.source(file.path) or "")
    also = packaged.digests(inside.read(source)) if source else frozenset()
    return packaged.digests(content) | also


def _matches(path: str, data: bytes, digests: frozenset[str]) -> Iterator[Suspect]:
    found = list(encodings.find(data))
    if _own(path) and entropy.applies(path):
        found += [(rule, begin) for rule, begin, _ in entropy.find(path, data)]
    for rule, begin in found:
        yield Suspect(path, rule, _line(data, begin), digests)


def _own(path: str) -> bool:
    return path.startswith(OWN) and not path.startswith(PACKAGES)


def _hit(path: str, layer: Layer, rule: str, line: int | None = None, known: bool = False) -> Hit:
    return Hit(f"/{path} ({layer.name})", path, rule, known, line)


def _line(content: bytes, offset: int) -> int | None:
    """Return the line of `offset`, from 1; None where `content` is no text."""
    return None if b"\0" in content else content.count(b"\n", 0, offset) + 1


def _recall(cache: Path | None, layer: Layer) -> Outline | None:
    """Return the outline of a layer that had no finding; None if there is none by these rules."""
    try:
        record = json.loads(_file(cache, layer).read_text(encoding="utf-8")) if cache else {}
        if record.get("rules") != _version():
            return None
        return Outline(
            archives=tuple(File(*file) for file in record["archives"]),
            lists=tuple(File(*file) for file in record["lists"]),
            suspects=tuple(
                Suspect(path, rule, line, frozenset(digests))
                for path, rule, line, digests in record["suspects"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remember(cache: Path | None, layer: Layer, outline: Outline) -> None:
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        record = {
            "rules": _version(),
            "archives": [[file.path, file.start, file.size] for file in outline.archives],
            "lists": [[file.path, file.start, file.size] for file in outline.lists],
            # All of them in files that are published, so nothing here is secret.
            "suspects": [
                [one.path, one.rule, one.line, sorted(one.digests)] for one in outline.suspects
            ],
        }
        file = _file(cache, layer)
        # Whole or not at all, and two pushes may come to the same layer.
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        temporary.replace(file)


def _file(cache: Path, layer: Layer) -> Path:
    return cache / f"{layer.digest.replace(':', '-')}.json"


def _version() -> str:
    """Return a hash of the code that finds patterns, so that no number has to be raised."""
    paths = [Path(__file__), *(Path(str(module.__file__)) for module in _RULES)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
