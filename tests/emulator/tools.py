"""The registry program: Debian's docker-registry (Distribution 2.8), brought along where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests import build_cache

PROGRAM = "docker-registry"


class MissingError(Exception):
    """The program is not there and cannot be brought along; the message is a sentence."""


def docker_registry() -> Path:
    """Return the program's path.

    Where it is missing, Debian's package is unpacked into a cache, by one process at a time: an
    installed one would run as a service, on a port of its own. Raises `MissingError` where there is
    no such package.
    """
    installed = shutil.which(PROGRAM)
    if installed:
        return Path(installed)
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingError(
            f"the program {PROGRAM} (Distribution 2.8) is missing: put it on the PATH"
        )
    return build_cache.ensure(PROGRAM, PROGRAM, _unpack) / "usr" / "bin" / PROGRAM


def _unpack(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        package = _download(Path(temporary))
        _run(["dpkg-deb", "--extract", str(package), str(folder)], folder)


def _download(folder: Path) -> Path:
    try:
        _run(["apt-get", "download", "-qq", PROGRAM], folder)
    except MissingError:
        # A new machine has no lists of packages yet, an old one has lists of packages that are gone.
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "update", "-qq"], folder)
        _run(["apt-get", "download", "-qq", PROGRAM], folder)
    return next(folder.glob("*.deb"))


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-1:])
        raise MissingError(f"`{' '.join(command[:3])}` failed, so there is no registry: {last}")
