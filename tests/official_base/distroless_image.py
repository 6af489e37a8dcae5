"""A stand-in for a distroless image of Python: one program, no shell, no package manager, no root.

As gcr.io/distroless/python3-debian12:nonroot has it, dpkg's database is a file for each package in
/var/lib/dpkg/status.d.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

from deploy.registry.manifests import INDEX_TYPE
from tests.official_base import debian_root, oci_layout
from tests.official_base.debian_root import path_of
from tests.official_base.oci_layout import Layer, LayerWriter, Layout

PACKAGES = (
    "python3.11-minimal",
    "libpython3.11-stdlib",
    "libstdc++6",
    "libc-bin",
    "tzdata",
    "ca-certificates",
    "netbase",
    "base-files",
    # Its passwd and group are the ones that the hook takes.
    "base-passwd",
)
USER = 65532
SETTINGS: dict[str, Any] = {
    "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
        "LANG=C.UTF-8",
    ],
    "Entrypoint": ["/usr/bin/python3.11"],
    "User": str(USER),
    "WorkingDir": "/home/nonroot",
}
PASSWD = f"""\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:{USER}:{USER}:nonroot:/home/nonroot:/sbin/nologin
"""
GROUP = f"root:x:0:\nnobody:x:65534:\nnonroot:x:{USER}:\n"

# Libraries and the interpreter; of the packages that only serve to install them, nothing.
KEPT = re.compile(
    r"usr/bin/python3\.11|usr/lib/(python3\.11|[\w-]+-linux-gnu)/.+|lib64|usr/lib64/.+|bin|sbin|lib"
    r"|usr/share/zoneinfo/.+|etc/ssl/.+|etc/(os-release|debian_version|protocols|services|ethertypes|rpc|python3\.11/.+)"
    r"|usr/lib/(os-release|ssl/.+)|usr/share/doc/[^/]+/copyright"
)
EXCLUDED = re.compile(r".*/(perl-base|gconv|__pycache__)/.*")
# Their files are not in the image, or no more than licences.
NOT_INSTALLED = re.compile(
    r"adduser|base-passwd|debconf|dpkg|libdebconfclient0|login|mawk|openssl|passwd|perl-base|tar"
)


def make(folder: Path) -> None:
    """Write the image for this machine's platform as an OCI layout."""
    layout = Layout(folder)
    architecture = debian_root.native_architecture()
    archive = folder / "root.tar"
    debian_root.extract(archive, architecture, PACKAGES)
    with tarfile.open(archive) as root:
        layer = _layer(layout, root)
    archive.unlink()
    history = [{"created": oci_layout.CREATED, "created_by": layer.created_by}]
    image = oci_layout.add_manifest(layout, architecture, SETTINGS, [layer], history)
    layout.finish({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [image]})


def _layer(layout: Layout, root: tarfile.TarFile) -> Layer:
    members = {path_of(member): member for member in root}
    database = debian_root.read_database(root)
    folders = {name: member for name, member in members.items() if member.isdir()}
    writer = LayerWriter(layout, "bazel build //python3:python3_nonroot", folders)
    for name, member in members.items():
        package = debian_root.package_of(name) if "/dpkg/info/" in name else ""
        if package and name.endswith(".md5sums") and not NOT_INSTALLED.fullmatch(package):
            writer.add(f"var/lib/dpkg/status.d/{package}.md5sums", member, root.extractfile(member))
        elif _is_kept(name) and not member.isdir():
            writer.add(name, member, root.extractfile(member) if member.isreg() else None)
    for package, stanza in database.stanzas.items():
        if not NOT_INSTALLED.fullmatch(package):
            text = stanza.replace("Status: install ok installed\n", "")
            writer.add_file(f"var/lib/dpkg/status.d/{package}", f"{text}\n".encode())
    writer.add_link("usr/bin/python3", "python3.11")
    writer.add_file("etc/passwd", PASSWD.encode())
    writer.add_file("etc/group", GROUP.encode())
    writer.add_folder("home/nonroot", 0o700, USER)
    writer.add_folder("tmp", 0o1777)
    return writer.finish()


def _is_kept(name: str) -> bool:
    return bool(KEPT.fullmatch(name)) and not EXCLUDED.fullmatch(name)
