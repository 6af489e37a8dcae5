"""How much of an image each of its packages takes: of Python's, and of Debian's."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from deploy.build import packages
from deploy.inside.contents import Contents

# The recording of installed projects (packaging.python.org, "Recording installed projects").
RECORD = re.compile(rf"{packages.FOLDER}/([^/]+)-([^/-]+)[.]dist-info/RECORD")
DPKG = "var/lib/dpkg"
STATUS = f"{DPKG}/status"
LIST = re.compile(rf"{DPKG}/info/([^/]+)[.]list")

# A package's name, version and kind, and the paths of its files.
Named = tuple[str, str, str, set[str]]


@dataclass(frozen=True)
class Package:
    """A package with the bytes of its files. `kind` is python or debian."""

    name: str
    version: str
    kind: str
    size: int
    files: int


def wanted(path: str) -> bool:
    """Return whether `measure` needs the text of the file at `path`."""
    return path == STATUS or bool(RECORD.fullmatch(path) or LIST.fullmatch(path))


def measure(contents: Contents) -> list[Package]:
    """Return the packages, the largest first."""
    bytecode = _bytecode(contents.sizes)
    found = [
        _package(name, version, kind, files, bytecode, contents)
        for name, version, kind, files in (*_python(contents), *_debian(contents))
    ]
    return sorted(found, key=lambda package: (-package.size, package.kind, package.name))


def _python(contents: Contents) -> Iterator[Named]:
    for path, text in contents.texts.items():
        match = RECORD.fullmatch(path)
        if not match:
            continue
        own = {f"{packages.FOLDER}/{row[0]}" for row in csv.reader(text.splitlines()) if row}
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        yield name, match[2], "python", own


def _bytecode(sizes: Iterable[str]) -> dict[str, list[str]]:
    """Return the bytecode files of each source file (PEP 3147)."""
    found: dict[str, list[str]] = {}
    for path in sizes:
        if path.endswith(".pyc"):
            file = PurePosixPath(path)
            source = file.parent.parent / f"{file.name.partition('.')[0]}.py"
            found.setdefault(str(source), []).append(path)
    return found


def _debian(contents: Contents) -> Iterator[Named]:
    versions = _versions(contents.texts.get(STATUS, ""))
    for path, text in contents.texts.items():
        match = LIST.fullmatch(path)
        # Of packages that several architectures can have side by side: `libc6:amd64.list`.
        name = match[1].partition(":")[0] if match else ""
        if name in versions:
            own = {_real(line.strip("/"), contents.sizes) for line in text.splitlines()}
            yield name, versions[name], "debian", own


def _versions(status: str) -> dict[str, str]:
    found = {}
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version): (.+)$", paragraph, re.MULTILINE))
        if len(fields) == 2:
            found[fields["Package"]] = fields["Version"]
    return found


def _real(path: str, sizes: Mapping[str, int]) -> str:
    """Return where `path` is: /lib may be a link to /usr/lib, and packages count on it."""
    return path if path in sizes else f"usr/{path}"


def _package(
    name: str,
    version: str,
    kind: str,
    files: set[str],
    bytecode: Mapping[str, list[str]],
    contents: Contents,
) -> Package:
    # Both lists are from before the bytecode was made.
    every = files | {compiled for file in files for compiled in bytecode.get(file, ())}
    here = [contents.sizes[file] for file in every if file in contents.sizes]
    return Package(name, version, kind, sum(here), len(here))
