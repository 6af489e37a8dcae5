"""The stand-in for python:3.11-slim-bookworm: CPython in /usr/local on a slim Debian.

What differs from the official image: CPython is Debian's build (3.11.2, no libpython3.11.so), with its
changes to the layout of the installation undone; tkinter, idle and the C headers are left out.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from deploy.registry.manifests import INDEX_TYPE
from tests.official_base import debian_root, oci_layout
from tests.official_base.debian_root import PackageDatabase, path_of
from tests.official_base.oci_layout import Descriptor, Layer, LayerWriter, Layout

ARCHITECTURES = ("amd64", "arm64")
VERSION = "3.11.2"
PACKAGES = ("ca-certificates", "netbase", "tzdata", "python3.11-venv")
# With what mmdebstrap's variant "minbase" brings along by itself.
FOREIGN_PACKAGES = ("?essential", "apt", "usr-is-merged", *PACKAGES)
# Packages that the official image installs on top of Debian's: by name, and what CPython links to.
RUNTIME_PACKAGES = frozenset(
    (
        "ca-certificates",
        "libexpat1",
        "libgssapi-krb5-2",
        "libk5crypto3",
        "libkeyutils1",
        "libkrb5-3",
        "libkrb5support0",
        "libncursesw6",
        "libnsl2",
        "libreadline8",
        "libsqlite3-0",
        "libssl3",
        "libtirpc-common",
        "libtirpc3",
        "netbase",
        "openssl",
        "readline-common",
    )
)
# The official CPython is compiled from source: no package of Debian's knows it.
PYTHON_PACKAGE = re.compile(r"(lib)?python3[.\w-]*|media-types")
PYTHON_FOLDER = re.compile(r"(usr/(lib|share)|etc)/python")
LIBRARY = "usr/lib/python3.11/"
WHEELS = "usr/share/python-wheels/"
SITE_PACKAGES = "usr/local/lib/python3.11/site-packages"

SETTINGS: dict[str, Any] = {
    "Env": [
        "PATH=/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
        f"PYTHON_VERSION={VERSION}",
        "PYTHON_SHA256=29e4b8f5f1658542a8c13e2dd277358c9c48f2b2f7318652ef1675e402b9d2af",
    ],
    "Cmd": ["python3"],
}
RUN_PACKAGES = (
    "RUN /bin/sh -c set -eux; apt-get update; apt-get install -y --no-install-recommends "
    "ca-certificates netbase tzdata ; rm -rf /var/lib/apt/lists/* # buildkit"
)
RUN_PYTHON = (
    'RUN /bin/sh -c set -eux; savedAptMark="$(apt-mark showmanual)"; apt-get update; '
    "apt-get install -y --no-install-recommends dpkg-dev gcc […] ; "
    'wget -O python.tar.xz "https://www.python.org/ftp/python/[…]"; […] make install; […] # buildkit'
)
RUN_LINKS = (
    "RUN /bin/sh -c set -eux; for src in idle3 pydoc3 python3 python3-config; do […] "
    'ln -svT "$src" "/usr/local/bin/$dst"; done # buildkit'
)

# Debian's slim images leave these out (https://github.com/debuerreotype/debuerreotype, .slimify-excludes).
SLIM_EXCLUDES = re.compile(r"usr/share/(doc|groff|info|linda|lintian|locale|man)/.+")
SLIM_INCLUDES = re.compile(r"usr/share/doc/[^/]+/copyright|usr/share/locale/locale\.alias")
# Traces of how the root was made, and of the machine.
LEFTOVERS = re.compile(
    r"(dev|proc|run|sys|tmp|var/cache/apt|var/cache/debconf|var/cache/ldconfig|var/lib/apt/lists|var/log)/.+"
    r"|etc/(hostname|resolv\.conf)|etc/(apt/apt\.conf\.d|dpkg/dpkg\.cfg\.d)/99mmdebstrap"
    r"|var/lib/dpkg/(status|status-old|lock|lock-frontend|available|diversions-old|arch-native)"
)
# What the official image leaves out of an installation of CPython, and what only Debian's has.
PYTHON_EXCLUDES = re.compile(
    r".*/(__pycache__|test|tests|idle_test)/.*|.*/(EXTERNALLY-MANAGED|sitecustomize\.py)"
)
DPKG_SETTINGS = """\
path-exclude /usr/share/doc/*
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
path-include /usr/share/doc/*/copyright
path-include /usr/share/locale/locale.alias
"""


def make(folder: Path) -> None:
    """Write the image with both of its platforms, made side by side, as an OCI layout."""
    layout = Layout(folder)
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda name: _make_image(layout, name), ARCHITECTURES))
    attestations = [
        oci_layout.add_attestation(layout, image, _provenance(image)) for image in images
    ]
    layout.finish({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": images + attestations})


def _make_image(layout: Layout, architecture: str) -> Descriptor:
    archive = layout.folder / f"{architecture}.tar"
    if architecture == debian_root.native_architecture():
        debian_root.install(archive, PACKAGES)
    else:
        debian_root.extract(archive, architecture, FOREIGN_PACKAGES)
    with tarfile.open(archive) as root:
        layers = _Splitter(layout, root).split()
    archive.unlink()
    image = oci_layout.add_manifest(layout, architecture, SETTINGS, layers, _history(layers))
    created_by = "com.docker.official-images.bashbrew.arch"
    bashbrew = {"amd64": "amd64", "arm64": "arm64v8"}[architecture]
    return {**image, "annotations": {created_by: bashbrew}}


def _history(layers: list[Layer]) -> list[dict[str, Any]]:
    debian, packages, python, links = (_step(layer.created_by) for layer in layers)
    path, lang, key, version, checksum = (_step(f"ENV {text}", True) for text in SETTINGS["Env"])
    debian["comment"] = "debuerreotype 0.15"
    command = _step('CMD ["python3"]', True)
    return [debian, path, lang, packages, key, version, checksum, python, links, command]


def _step(created_by: str, empty: bool = False) -> dict[str, Any]:
    step = {"created": oci_layout.CREATED, "created_by": created_by}
    return {**step, "comment": "buildkit.dockerfile.v0", **({"empty_layer": True} if empty else {})}


def _provenance(image: Descriptor) -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [
            {
                "name": "pkg:docker/python@3.11-slim-bookworm",
                "digest": {"sha256": image["digest"].partition(":")[2]},
            }
        ],
        "predicate": {"builder": {"id": ""}, "buildType": "https://mobyproject.org/buildkit@v1"},
    }


class _Splitter:
    """Splits a root file system into the layers of the official image."""

    def __init__(self, layout: Layout, root: tarfile.TarFile) -> None:
        self._root = root
        self._members = {path_of(member): member for member in root}
        self._database: PackageDatabase = debian_root.read_database(root)
        folders = {name: member for name, member in self._members.items() if member.isdir()}
        steps = ("# debian.sh --out 'bookworm'", RUN_PACKAGES, RUN_PYTHON, RUN_LINKS)
        writers = [LayerWriter(layout, step, folders) for step in steps]
        self._debian, self._packages, self._python, self._links = writers

    def split(self) -> list[Layer]:
        for name, member in self._members.items():
            self._place(name, member)
        self._write_databases()
        self._write_python()
        self._links.add_link("usr/local/bin/pydoc", "pydoc3")
        self._links.add_link("usr/local/bin/python", "python3")
        writers = (self._debian, self._packages, self._python, self._links)
        with ThreadPoolExecutor() as pool:
            return list(pool.map(LayerWriter.finish, writers))

    def _place(self, name: str, member: tarfile.TarInfo) -> None:
        """Add an entry to the layer where the official image has it, or to none."""
        package = self._package(name)
        if name.startswith(LIBRARY):
            self._place_library(name, member)
        elif name == "usr/bin/python3.11":
            program = _restore_program(self._content(name))
            self._python.add_file("usr/local/bin/python3.11", program, 0o755)
        elif not name or LEFTOVERS.fullmatch(name) or _is_excluded(name, member):
            return
        elif member.isdir():
            if not PYTHON_FOLDER.search(name):
                self._copy(self._debian, name, member)
        elif package in RUNTIME_PACKAGES or name.startswith(("etc/ssl/", "etc/ca-certificates")):
            self._copy(self._packages, name, member)
        elif not PYTHON_PACKAGE.fullmatch(package) and not PYTHON_FOLDER.search(name):
            self._copy(self._debian, name, member)

    def _place_library(self, name: str, member: tarfile.TarInfo) -> None:
        if member.isdir() or PYTHON_EXCLUDES.fullmatch(name):
            return
        moved = f"usr/local/lib/python3.11/{name.removeprefix(LIBRARY)}"
        restore = RESTORED.get(name.removeprefix(LIBRARY))
        if restore:
            text = restore(self._content(name).decode("utf-8"))
            self._python.add_file(moved, text.encode())
        else:
            self._copy(self._python, moved, member)

    def _package(self, name: str) -> str:
        if name.startswith("var/lib/dpkg/info/"):
            return debian_root.package_of(name)
        return self._database.owners.get(name, "")

    def _copy(self, writer: LayerWriter, name: str, member: tarfile.TarInfo) -> None:
        if member.islnk():
            member = self._root.getmember(member.linkname)
        writer.add(name, member, self._root.extractfile(member) if member.isreg() else None)

    def _content(self, name: str) -> bytes:
        content: IO[bytes] | None = self._root.extractfile(self._members[name])
        if content is None:
            raise debian_root.BootstrapError(f"{name} is no file")
        return content.read()

    def _write_databases(self) -> None:
        database = self._database
        of_python = frozenset(filter(PYTHON_PACKAGE.fullmatch, database.stanzas))
        before = database.status(without=of_python | RUNTIME_PACKAGES)
        self._debian.add_file("var/lib/dpkg/status", before.encode())
        self._debian.add_file("etc/dpkg/dpkg.cfg.d/docker", DPKG_SETTINGS.encode())
        self._packages.add_file("var/lib/dpkg/status", database.status(of_python).encode())

    def _write_python(self) -> None:
        self._python.add_link("usr/local/bin/python3", "python3.11")
        self._python.add_link("usr/local/bin/pydoc3", "pydoc3.11")
        pydoc = "#!/usr/local/bin/python3.11\nimport pydoc\n\npydoc.cli()\n"
        self._python.add_file("usr/local/bin/pydoc3.11", pydoc.encode(), 0o755)
        for name in self._members:
            if name.startswith(WHEELS) and name.endswith(".whl"):
                self._install_wheel(name.removeprefix(WHEELS), self._content(name))

    def _install_wheel(self, name: str, content: bytes) -> None:
        bundled = f"usr/local/lib/python3.11/ensurepip/_bundled/{name}"
        self._python.add_file(bundled, content)
        files, scripts = unpack_wheel(content)
        for path, data in files.items():
            self._python.add_file(f"{SITE_PACKAGES}/{path}", data)
        for script, text in scripts.items():
            self._python.add_file(f"usr/local/bin/{script}", text, 0o755)


def unpack_wheel(content: bytes) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return what pip would install of a wheel: files below site-packages, and commands."""
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    info = next(name for name in files if name.endswith(".dist-info/RECORD")).rpartition("/")[0]
    commands = _console_scripts(files.get(f"{info}/entry_points.txt", b"").decode())
    if info.startswith("pip-"):
        # It installs itself by this name, too.
        commands |= {f"pip{suffix}": commands["pip"] for suffix in ("3", "3.11")}
    scripts = {name: _script(*place.split(":")) for name, place in commands.items()}
    installed = {f"{info}/INSTALLER": b"pip\n"}
    beside = {f"../../../bin/{name}": text for name, text in scripts.items()}
    rows = [_record(path, data) for path, data in {**installed, **beside}.items()]
    record = files[f"{info}/RECORD"].decode() + "".join(rows)
    return {**files, **installed, f"{info}/RECORD": record.encode()}, scripts


def _console_scripts(entry_points: str) -> dict[str, str]:
    section = entry_points.partition("[console_scripts]")[2].partition("[")[0]
    return dict(re.findall(r"^(pip3?)\s*=\s*(\S+)$", section, re.MULTILINE))


def _script(module: str, function: str) -> bytes:
    lines = (
        "#!/usr/local/bin/python3.11",
        "import sys",
        f"from {module} import {function}",
        "",
        f"sys.exit({function}())",
        "",
    )
    return "\n".join(lines).encode()


def _record(path: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def _is_excluded(name: str, member: tarfile.TarInfo) -> bool:
    return bool(SLIM_EXCLUDES.fullmatch(name)) and not SLIM_INCLUDES.fullmatch(name)


def _restore_sysconfig(text: str) -> str:
    """Make /usr/local/lib/python3.11/site-packages the place of packages, as upstream."""
    return _replaced(r"prefix_scheme = 'posix_local'", "prefix_scheme = 'posix_prefix'", text)


def _restore_program(content: bytes) -> bytes:
    """Take Debian's folders dist-packages off the path, in the module site that the program has inside.

    Its texts have fixed lengths there, so the first folder keeps a longer way to write "lib".
    """
    for debian, upstream in ((b"dist-packages", b"site-packages"), (b"local/lib", b"./././lib")):
        if content.count(b"\0%s\0" % debian) != 1:
            raise debian_root.BootstrapError(f"Debian's CPython has not one {debian!r}")
        content = content.replace(b"\0%s\0" % debian, b"\0%s\0" % upstream)
    return content


def _restore_site(text: str) -> str:
    """Take Debian's folders dist-packages off the path."""
    debian = r"(?s) {12}if is_virtual_environment:\n.*?# this one is deprecated for Debian\n"
    return _replaced(debian, "", text).replace('"dist-packages")', '"site-packages")')


def _restore_ensurepip(text: str) -> str:
    """Take the wheels from the folder _bundled, as upstream; their versions are Debian's."""
    text = _replaced(r'_PIP_VERSION = "[^"]+"', '_PIP_VERSION = "23.0.1"', text)
    text = _replaced(r'_SETUPTOOLS_VERSION = "[^"]+"', '_SETUPTOOLS_VERSION = "66.1.1"', text)
    return _replaced(r"\n_WHEEL_PKG_DIR = .*", "\n_WHEEL_PKG_DIR = None", text)


def _replaced(pattern: str, replacement: str, text: str) -> str:
    changed, count = re.subn(pattern, replacement, text)
    if count != 1:
        raise debian_root.BootstrapError(f"Debian's CPython has {count} places {pattern!r}")
    return changed


RESTORED: Mapping[str, Any] = {
    "sysconfig.py": _restore_sysconfig,
    "site.py": _restore_site,
    "ensurepip/__init__.py": _restore_ensurepip,
}
