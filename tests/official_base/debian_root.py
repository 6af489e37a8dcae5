"""Root file systems from Debian packages, as tar archives: mmdebstrap makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOOKS = Path(__file__).with_name("hooks")
MERGED_USR = Path("/usr/share/mmdebstrap/hooks/merged-usr")
SUITE = "bookworm"
# A root file system with its packages and the archive of it need about 500 MB.
MEMORY_BYTES = 2 * 1024**3
EPOCH = "1747699200"


class BootstrapError(Exception):
    """mmdebstrap failed; the message has the end of its output."""


def native_architecture() -> str:
    """Return Debian's name of this machine's architecture."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def install(archive: Path, packages: Sequence[str]) -> None:
    """Write a minimal Debian with `packages` installed, for this machine's architecture."""
    hook = [f"--hook-dir={MERGED_USR}"]
    _bootstrap(archive, ["--variant=minbase", f"--include={','.join(packages)}", *hook])


def extract(archive: Path, architecture: str, packages: Sequence[str]) -> None:
    """Write the unpacked `packages` and their dependencies, for any architecture: nothing is executed."""
    _bootstrap(
        archive,
        [
            "--variant=extract",
            f"--architectures={architecture}",
            # One option for each: a pattern of apt cannot stand in a list.
            *(f"--include={package}" for package in packages),
            f"--setup-hook={MERGED_USR}/setup00.sh",
            f'--extract-hook={HOOKS}/record-packages.sh "$1"',
        ],
    )


def _bootstrap(archive: Path, options: Sequence[str]) -> None:
    command = [
        "mmdebstrap",
        "--quiet",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=force-unsafe-io",
        *options,
        SUITE,
        str(archive),
    ]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **_in_memory()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise BootstrapError(f"mmdebstrap {' '.join(options)}:\n{tail}")


def _in_memory() -> dict[str, str]:
    """Return variables that keep the unfinished root in memory, which spares a third of the time."""
    shared = Path("/dev/shm")
    enough = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES
    return {"TMPDIR": str(shared)} if enough else {}


@dataclass(frozen=True)
class PackageDatabase:
    """What dpkg knows of a root file system: stanzas by package, and the package of each file."""

    stanzas: dict[str, str]
    owners: dict[str, str]

    def status(self, without: frozenset[str] = frozenset()) -> str:
        """Return the file `status`, without some packages."""
        kept = [text for name, text in self.stanzas.items() if name not in without]
        return "".join(f"{text}\n\n" for text in kept)


def read_database(root: tarfile.TarFile) -> PackageDatabase:
    """Read the database of dpkg in an archive that `install` or `extract` wrote."""
    stanzas: dict[str, str] = {}
    owners: dict[str, str] = {}
    for member in root:
        name = path_of(member)
        if name == "var/lib/dpkg/status":
            blocks = _read(root, member).strip().split("\n\n")
            stanzas = {block.split("\n", 1)[0].partition(": ")[2]: block for block in blocks}
        elif name.startswith("var/lib/dpkg/info/") and name.endswith(".list"):
            package = package_of(name)
            owners |= {_merged(path): package for path in _read(root, member).splitlines()}
    return PackageDatabase(stanzas, owners)


def path_of(member: tarfile.TarInfo) -> str:
    """Return the path of a member, relative to the root."""
    return member.name.removeprefix("./").rstrip("/")


def package_of(info_file: str) -> str:
    """Return the package of a file in dpkg's folder `info`."""
    stem = info_file.rpartition("/")[2].rpartition(".")[0]
    return stem.partition(":")[0]


def _merged(path: str) -> str:
    """Return the real place of a packaged path: /bin, /sbin and /lib* are links into /usr."""
    top = path.split("/", 2)[1] if path.startswith("/") else ""
    relative = path.lstrip("/")
    return f"usr/{relative}" if top in ("bin", "sbin") or top.startswith("lib") else relative


def _read(root: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = root.extractfile(member)
    if content is None:
        raise BootstrapError(f"{member.name} is no file")
    return content.read().decode("utf-8")
