"""Measure how much of an image each Python and Debian package takes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from deploy.build import packages
from deploy.supply_chain.image_files import ImageContents

# The list of a Python package's files (packaging.python.org, "Recording installed projects").
RECORD_PATH = re.compile(rf"{packages.FOLDER}/([^/]+)-([^/-]+)[.]dist-info/RECORD")
DPKG = "var/lib/dpkg"
DPKG_STATUS_PATH = f"{DPKG}/status"
DPKG_LIST_PATH = re.compile(rf"{DPKG}/info/([^/]+)[.]list")

# Name, version and kind of a package, and the paths of its files.
PackageFiles = tuple[str, str, str, set[str]]


@dataclass(frozen=True)
class Package:
    """A package of an image."""

    name: str
    version: str
    # python or debian.
    kind: str
    # Total size of its files, in bytes.
    size: int
    # Number of its files.
    files: int


def is_package_list(path: str) -> bool:
    """Return whether `measure_packages` needs the text of the file at `path`."""
    return path == DPKG_STATUS_PATH or bool(
        RECORD_PATH.fullmatch(path) or DPKG_LIST_PATH.fullmatch(path)
    )


def measure_packages(contents: ImageContents) -> list[Package]:
    """Return the packages, the largest first."""
    bytecode = _group_bytecode(contents.sizes)
    measured = [
        _measure_package(name, version, kind, files, bytecode, contents)
        for name, version, kind, files in (
            *_list_python_packages(contents),
            *_list_debian_packages(contents),
        )
    ]
    return sorted(measured, key=lambda package: (-package.size, package.kind, package.name))


def _list_python_packages(contents: ImageContents) -> Iterator[PackageFiles]:
    for path, text in contents.texts.items():
        match = RECORD_PATH.fullmatch(path)
        if not match:
            continue
        files = {f"{packages.FOLDER}/{row[0]}" for row in csv.reader(text.splitlines()) if row}
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        yield name, match[2], "python", files


def _group_bytecode(sizes: Iterable[str]) -> dict[str, list[str]]:
    """Return the bytecode files of each source file (PEP 3147)."""
    bytecode: dict[str, list[str]] = {}
    for path in sizes:
        if path.endswith(".pyc"):
            file = PurePosixPath(path)
            source = file.parent.parent / f"{file.name.partition('.')[0]}.py"
            bytecode.setdefault(str(source), []).append(path)
    return bytecode


def _list_debian_packages(contents: ImageContents) -> Iterator[PackageFiles]:
    versions = _parse_versions(contents.texts.get(DPKG_STATUS_PATH, ""))
    for path, text in contents.texts.items():
        match = DPKG_LIST_PATH.fullmatch(path)
        # Packages that can be installed for several architectures have names such as
        # `libc6:amd64.list`.
        name = match[1].partition(":")[0] if match else ""
        if name in versions:
            files = {_resolve_path(line.strip("/"), contents.sizes) for line in text.splitlines()}
            yield name, versions[name], "debian", files


def _parse_versions(status: str) -> dict[str, str]:
    versions = {}
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version): (.+)$", paragraph, re.MULTILINE))
        if len(fields) == 2:
            versions[fields["Package"]] = fields["Version"]
    return versions


def _resolve_path(path: str, sizes: Mapping[str, int]) -> str:
    """Return the real location of `path`: /lib may be a link to /usr/lib, as packages assume."""
    return path if path in sizes else f"usr/{path}"


def _measure_package(
    name: str,
    version: str,
    kind: str,
    files: set[str],
    bytecode: Mapping[str, list[str]],
    contents: ImageContents,
) -> Package:
    # Both lists were written before the bytecode was compiled.
    all_files = files | {compiled for file in files for compiled in bytecode.get(file, ())}
    file_sizes = [contents.sizes[file] for file in all_files if file in contents.sizes]
    return Package(name, version, kind, sum(file_sizes), len(file_sizes))
