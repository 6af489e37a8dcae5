"""Store the scans of layers that contain no secret, since most images share their lower layers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from pathlib import Path

from deploy.config import entropy, secret_patterns
from deploy.core import atomic_file
from deploy.docker import image_archive, tar_files
from deploy.docker.image_archive import Layer
from deploy.supply_chain.secret_scan import archives, encodings, layer_contents, package_files
from deploy.supply_chain.secret_scan.layer_contents import LayerFile

# Modules that affect which patterns are found: cached scans are valid only for the same code.
_RULE_MODULES = (
    secret_patterns,
    encodings,
    entropy,
    layer_contents,
    archives,
    package_files,
    image_archive,
    tar_files,
)
# Not imported, because it imports this module.
LAYERS_MODULE = Path(__file__).with_name("layers.py")


@dataclass(frozen=True)
class Suspect:
    """A match of a pattern; it is no finding if its file belongs to a package."""

    path: str
    rule: str
    line: int | None
    # Digests of that file; for bytecode also of its source, for a file in an archive also of the
    # archive.
    digests: frozenset[str]


@dataclass(frozen=True)
class LayerScan:
    """The facts about a layer that do not depend on other layers and the environment."""

    archives: tuple[LayerFile, ...]
    # Files that list the checksums of packages.
    checksum_lists: tuple[LayerFile, ...]
    suspects: tuple[Suspect, ...]


def read_scan(cache: Path | None, layer: Layer) -> LayerScan | None:
    """Return the stored scan of a layer; None if there is none, or the rules have changed."""
    if cache is None:
        return None
    try:
        record = json.loads(_get_cache_path(cache, layer).read_text(encoding="utf-8"))
        if record["rules"] != _hash_rules():
            return None
        return LayerScan(
            archives=tuple(LayerFile(*file) for file in record["archives"]),
            checksum_lists=tuple(LayerFile(*file) for file in record["checksum_lists"]),
            suspects=tuple(
                Suspect(path, rule, line, frozenset(digests))
                for path, rule, line, digests in record["suspects"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_scan(cache: Path | None, layer: Layer, scan: LayerScan) -> None:
    """Store `scan`, which has no finding, in the folder `cache`.

    All its suspects are in published files, so nothing that is stored is secret.
    """
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        parts = {name: [astuple(item) for item in items] for name, items in vars(scan).items()}
        text = json.dumps({"rules": _hash_rules(), **parts}, default=sorted)
        atomic_file.write(_get_cache_path(cache, layer), text)


def _get_cache_path(cache: Path, layer: Layer) -> Path:
    return cache / f"{layer.digest.replace(':', '-')}.json"


def _hash_rules() -> str:
    """Return a hash of the code that finds patterns, so that no version has to be maintained."""
    paths = [
        Path(__file__),
        LAYERS_MODULE,
        *(Path(str(module.__file__)) for module in _RULE_MODULES),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
