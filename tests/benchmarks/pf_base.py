"""The base of pf's own image: Debian packages in place of an image with conda.

`FROM continuumio/miniconda3` is Debian with some packages and Miniconda. The packages are here (the
list: miniconda3/debian/Dockerfile in github.com/ContinuumIO/docker-images). In place of Miniconda,
which a machine without that registry cannot get, stand Debian's Python and a small program named
conda that makes virtual environments, so that pf's start scripts run as they were written.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker
import docker.errors

from deploy.docker import installation
from tests.benchmarks import images

PYTHON = "3.11"
SUITE = "bookworm"
# Those of miniconda3's image; there, too, without what they recommend.
MINICONDA_PACKAGES = [
    "bzip2",
    "ca-certificates",
    "git",
    "libglib2.0-0",
    "libsm6",
    "libxext6",
    "libxrender1",
    "mercurial",
    "openssh-client",
    "procps",
    "subversion",
    "wget",
]
PACKAGES = [*MINICONDA_PACKAGES, f"python{PYTHON}", f"python{PYTHON}-venv"]
# What a line of pf's Dockerfile installs: with what they recommend, and with the package lists
# left behind.
PF_PACKAGES = ["runit", "gcc"]
# In the new root, never beside it: a hook's own apt-get would install on this machine.
INSTALL = (
    'chroot "$1" sh -c "apt-get update && '
    "DEBIAN_FRONTEND=noninteractive apt-get -o APT::Install-Recommends=true install -y "
    f'{" ".join(PF_PACKAGES)}"'
)
# As Debian's images have it: package lists stay compressed.
APT_OPTIONS = [
    'APT::Install-Recommends "false"',
    'Acquire::GzipIndexes "true"',
    'Acquire::CompressionTypes::Order:: "gz"',
]
# What Debian's slim images leave out.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
CONDA = f"""#!/bin/sh
# Stands in for conda: an environment is a virtual environment of Debian's Python.
base=/opt/conda
case "$1" in
  info) echo "$base" ;;
  create) python{PYTHON} -m venv "$base/envs/$3" ;;
  run) PATH="$base/envs/$3/bin:$PATH"; shift 3; exec "$@" ;;
  clean) ;;
  *) echo "conda: unknown command: $1" >&2; exit 1 ;;
esac
"""


def ensure(client: docker.DockerClient) -> str:
    """Return the id of the base; made once, and kept.

    Raises `RuntimeError` where it cannot be made.
    """
    recipe = "\n".join([SUITE, *PACKAGES, *APT_OPTIONS, INSTALL, *LEFT_OUT, CONDA])
    tag = f"bench-pf-base:{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    try:
        return str(client.images.get(tag).id)
    except docker.errors.ImageNotFound:
        installation.ensure_mmdebstrap()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _bootstrap(folder / "root.tar")
        (folder / "conda").write_text(CONDA, encoding="utf-8")
        (folder / "conda").chmod(0o755)
        (folder / "Dockerfile").write_text(
            "FROM scratch\nADD root.tar /\nCOPY conda /usr/local/bin/conda\n"
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8\n",
            encoding="utf-8",
        )
        return images.build(client, folder, tag)


def _bootstrap(archive: Path) -> None:
    say(f"making a base of Debian {SUITE} for pf's own image")
    command = ["mmdebstrap", "--quiet", "--variant=minbase"]
    command += [f"--aptopt={option}" for option in APT_OPTIONS]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    command += [f"--include={','.join(PACKAGES)}"]
    command += [f"--customize-hook={INSTALL}", "--skip=cleanup/apt/lists"]
    run([*command, SUITE, str(archive)])


def run(command: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
    """Run `command`. Raises `RuntimeError` with the end of its output where it fails."""
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}:\n{tail}")


def say(text: str) -> None:
    """Tell what is under way, on standard error."""
    print(text, file=sys.stderr, flush=True)
