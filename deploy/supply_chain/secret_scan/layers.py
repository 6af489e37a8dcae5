"""Search the layers of an image for secrets: in files, in file names, and in archives.

Each layer is read separately, so that files which a later layer deletes or replaces are searched,
too. Files that a package installed unchanged (`package_files`) are searched for known values only,
not for patterns: they are published, so they contain none of your secrets. What looks like one in
them are examples in manuals and docstrings, keys for self-tests of libraries, and keys for the
SDKs' own telemetry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.build import dockerfile, packages
from deploy.config import entropy, secret_patterns
from deploy.docker.image_archive import Layer
from deploy.supply_chain.secret_scan import (
    archives,
    encodings,
    layer_contents,
    package_files,
    scan_cache,
)
from deploy.supply_chain.secret_scan.layer_contents import LayerContents, LayerFile
from deploy.supply_chain.secret_scan.scan_cache import LayerScan, Suspect
from deploy.supply_chain.secret_scan.secret_matcher import SecretMatcher

# Path prefixes of the flow's own files, and of the packages, which are below them.
OWN, PACKAGES = f"{dockerfile.APP_FOLDER}/", f"{packages.FOLDER}/"


@dataclass(frozen=True)
class Finding:
    """A secret, or a text that looks like one."""

    # Path and layer, for messages.
    location: str
    # Path that an exception in `allow_secrets` may name.
    path: str
    # Kind of secret; for a known secret, the variable with this value.
    rule: str
    is_known: bool = False
    line: int | None = None


@dataclass
class _ScannedLayer:
    """A layer, the known values in it, and its suspects, judged after all layers are scanned."""

    layer: Layer
    scan: LayerScan
    checksums: frozenset[str]
    is_cached: bool
    known: list[Finding] = field(default_factory=list)


def search_layers(
    layers: Sequence[Layer], matcher: SecretMatcher, cache: Path | None
) -> Iterator[Finding]:
    """Yield every secret in `layers`.

    Scans of layers without a finding are stored in the folder `cache`, since most images share the
    layers of the base and the packages. Known values are searched for each time and not stored. The
    verdict is not stored either: the list with a file's checksum may be in another layer, as each
    installation of a Debian package writes a part of dpkg's database.
    """
    # An image may contain a layer twice, often an empty one.
    unique = {layer.digest: layer for layer in reversed(layers)}
    ordered = sorted(unique.values(), key=lambda layer: layer.number)
    searched = [_scan_layer(layer, matcher, cache) for layer in ordered]
    checksums = frozenset().union(*(scanned.checksums for scanned in searched))
    for scanned in searched:
        yield from scanned.known
        suspects = [hit for hit in scanned.scan.suspects if not hit.digests & checksums]
        yield from (
            _create_finding(hit.path, scanned.layer, hit.rule, hit.line) for hit in suspects
        )
        if not suspects and not scanned.is_cached:
            scan_cache.write_scan(cache, scanned.layer, scanned.scan)


def _scan_layer(layer: Layer, matcher: SecretMatcher, cache: Path | None) -> _ScannedLayer:
    scan = scan_cache.read_scan(cache, layer)
    is_cached = scan is not None
    with layer_contents.open_layer(layer) as contents:
        lists = scan.checksum_lists if scan else _find_checksum_lists(contents)
        checksums = frozenset(
            checksum
            for file in lists
            for checksum in package_files.read_checksums(file.path, contents.read(file))
        )
        if scan is None:
            scan = _scan_patterns(contents, lists, checksums)
        known = list(_find_known_values(contents, scan.archives, layer, matcher))
    return _ScannedLayer(layer, scan, checksums, is_cached, known)


def _find_checksum_lists(contents: LayerContents) -> tuple[LayerFile, ...]:
    """Return the checksum lists in a layer; lists among a flow's own files do not count.

    The flow's own files come from no package index.
    """
    files = (file for file in contents.files if package_files.is_checksum_list(file.path))
    return tuple(file for file in files if not _is_flow_file(file.path))


def _find_known_values(
    contents: LayerContents, packed: Sequence[LayerFile], layer: Layer, matcher: SecretMatcher
) -> Iterator[Finding]:
    if not matcher.max_length:
        return
    for start, block in contents.read_blocks(matcher.max_length - 1):
        for name, offset_in_block in matcher.find(block):
            hit = contents.find_file(start + offset_in_block)
            file, offset = hit or (LayerFile("", 0, 0), -1)
            line = _find_line(contents.read(file), offset) if offset >= 0 else None
            yield _create_finding(file.path, layer, name, line, known=True)
    for file in packed:
        for path, content in archives.unpack_files(file.path, contents.read(file)):
            for name, offset_in_block in matcher.find(content):
                yield _create_finding(
                    path, layer, name, _find_line(content, offset_in_block), known=True
                )


def _scan_patterns(
    contents: LayerContents, lists: tuple[LayerFile, ...], checksums: frozenset[str]
) -> LayerScan:
    """Search a layer for patterns, except in files whose checksum is known already.

    Most lists are in the same layer as their files, and hashing a file is ten times faster than
    searching it.
    """
    packed: list[LayerFile] = []
    suspects: list[Suspect] = []
    for file in contents.files:
        for rule, _, _ in secret_patterns.find_secrets(
            file.path.encode("utf-8", "surrogateescape")
        ):
            suspects.append(Suspect(file.path, rule, None, frozenset()))
        content = contents.read(file)
        is_archive = archives.is_archive(file.path, content)
        if is_archive:
            packed.append(file)
        digests = _compute_digests(contents, file, content)
        if digests & checksums:
            continue
        suspects += _find_matches(file.path, content, digests)
        for path, data in archives.unpack_files(file.path, content) if is_archive else ():
            file_digests = package_files.compute_digests(data) if digests else frozenset()
            suspects += _find_matches(path, data, digests | file_digests)
    return LayerScan(tuple(packed), lists, tuple(suspects))


def _compute_digests(contents: LayerContents, file: LayerFile, content: bytes) -> frozenset[str]:
    """Return the checksums by which `file` may belong to a package; none for a flow's own file.

    Bytecode also has the checksums of its source, from which a build compiled it.
    """
    if _is_flow_file(file.path):
        return frozenset()
    source = contents.files_by_path.get(layer_contents.get_source_path(file.path) or "")
    source_digests = package_files.compute_digests(contents.read(source)) if source else frozenset()
    return package_files.compute_digests(content) | source_digests


def _find_matches(path: str, data: bytes, digests: frozenset[str]) -> Iterator[Suspect]:
    matches = list(encodings.find_secrets(data))
    if _is_flow_file(path) and entropy.is_config_file(path):
        matches += [(rule, begin) for rule, begin, _ in entropy.find_random_values(path, data)]
    for rule, begin in matches:
        yield Suspect(path, rule, _find_line(data, begin), digests)


def _is_flow_file(path: str) -> bool:
    return path.startswith(OWN) and not path.startswith(PACKAGES)


def _create_finding(
    path: str, layer: Layer, rule: str, line: int | None = None, known: bool = False
) -> Finding:
    return Finding(f"/{path} ({layer.name})", path, rule, known, line)


def _find_line(content: bytes, offset: int) -> int | None:
    """Return the line number of `offset`, from 1; None if `content` is binary."""
    return None if b"\0" in content else content.count(b"\n", 0, offset) + 1
