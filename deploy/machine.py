"""This machine: its system, and the commands that install and start what is missing on it."""

from __future__ import annotations

import os
import platform
import shutil

# Where a package has another name than in Debian, by the package manager.
NAMES = {"docker.io": {"dnf": "moby-engine"}}
# `docker` is the command; Colima runs the engine (https://github.com/abiosoft/colima).
COLIMA = "brew install colima docker && colima start"


def is_macos() -> bool:
    """Return whether this is macOS, where an engine runs in a virtual machine."""
    return platform.system() == "Darwin"


def can_install() -> bool:
    """Return whether the tool may install Debian packages by itself."""
    return os.geteuid() == 0 and not is_macos() and shutil.which("apt-get") is not None


def install_command(package: str) -> str:
    """Return the command that installs a Debian package here, "" where none is known."""
    if is_macos():
        return f"brew install {package}"
    for manager, program in (("apt", "apt-get"), ("dnf", "dnf")):
        if shutil.which(program):
            return f"{_sudo()}{program} install {NAMES.get(package, {}).get(manager, package)}"
    return ""


def start_engine() -> str:
    """Return how to get a Docker engine on this machine, as a hint."""
    if is_macos():
        return f"start Docker Desktop, OrbStack or Colima; to install one: `{COLIMA}`"
    if can_install():
        return "`inv setup` brings an engine up"
    start = f"{_sudo()}systemctl start docker"
    if shutil.which("dockerd"):
        return f"`{start}`"
    install = install_command("docker.io")
    if not install:
        return "install Docker or Podman with the packages of this system, and start it"
    return f"`{install} && {start}`"


def join_docker_group() -> str:
    """Return how a user gets access to the engine's socket, as a hint."""
    if is_macos():
        return start_engine()
    return "`sudo usermod -aG docker $USER`, then log in again"


def _sudo() -> str:
    return "" if os.geteuid() == 0 else "sudo "
