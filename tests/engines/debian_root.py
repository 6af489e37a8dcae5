"""The root file systems that engines run in, made from the packages of a Debian release."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from deploy.sandbox import folder_cache

# The releases with the newest engines, and with an old one that many machines still have.
NEWEST = "forky"
OLD = "bookworm"
COMMON = ("ca-certificates", "iptables", "mount", "tini")


class EngineError(Exception):
    """An engine cannot be made or started; the message is a sentence."""


def ensure(suite: str, packages: tuple[str, ...]) -> Path:
    """Return a root file system with `packages` of a release, made where this machine lacks it."""
    if os.geteuid() != 0:
        raise EngineError("engines beside the machine's own need root: run it as root")
    if not shutil.which("mmdebstrap"):
        raise EngineError("there is no mmdebstrap to make an engine: apt-get install mmdebstrap")
    included = ",".join((*COMMON, *packages))

    def make(folder: Path) -> None:
        _bootstrap(folder / "root", suite, included)

    return folder_cache.ensure("engine", f"{suite} {included}", make) / "root"


def _bootstrap(root: Path, suite: str, included: str) -> None:
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        '--aptopt=APT::Install-Recommends "false"',
        # A release that is still being made expires after a week, and mirrors may be older.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        "--dpkgopt=force-unsafe-io",
        f"--include={included}",
        suite,
        str(root),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise EngineError(f"mmdebstrap cannot make the engine's root:\n{tail}")
