"""The registry program: Debian's docker-registry (Distribution 2.8), downloaded if missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.sandbox import folder_cache

PROGRAM = "docker-registry"


class RegistryMissingError(Exception):
    """The program is missing and cannot be downloaded; the message is a sentence."""


def ensure_registry_binary() -> Path:
    """Return the program's path.

    If it is missing, Debian's package is unpacked into a cache, by one process at a time: an
    installed package would run as a service on a port of its own. Raise `RegistryMissingError` if
    there is no such package.
    """
    installed = shutil.which(PROGRAM)
    if installed:
        return Path(installed)
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise RegistryMissingError(
            f"the program {PROGRAM} (Distribution 2.8) is missing: put it on the PATH"
        )
    return folder_cache.ensure(PROGRAM, PROGRAM, _unpack) / "usr" / "bin" / PROGRAM


def _unpack(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        package = _download(Path(temporary))
        _run(["dpkg-deb", "--extract", str(package), str(folder)], folder)


def _download(folder: Path) -> Path:
    try:
        _run(["apt-get", "download", "-qq", PROGRAM], folder)
    except RegistryMissingError:
        # A new machine has no package lists yet, and an old one may list packages that are gone.
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "update", "-qq"], folder)
        _run(["apt-get", "download", "-qq", PROGRAM], folder)
    return next(folder.glob("*.deb"))


def _run(command: list[str], folder: Path) -> None:
    completed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if completed.returncode:
        last_line = " ".join((completed.stderr or completed.stdout).strip().splitlines()[-1:])
        raise RegistryMissingError(
            f"`{' '.join(command[:3])}` failed, so there is no registry: {last_line}"
        )
