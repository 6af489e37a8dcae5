"""The operating system of this machine, and its commands to install and start what is missing."""

from __future__ import annotations

import os
import platform
import shutil

# Names of packages that differ from Debian's, by package manager.
PACKAGE_NAMES = {"docker.io": {"dnf": "moby-engine"}}
# `docker` is the command; Colima runs the engine (https://github.com/abiosoft/colima).
INSTALL_COLIMA = "brew install colima docker && colima start"


def is_macos() -> bool:
    """Return whether this is macOS, where an engine runs in a virtual machine."""
    return platform.system() == "Darwin"


def can_install() -> bool:
    """Return whether the tool may install Debian packages itself."""
    return os.geteuid() == 0 and not is_macos() and shutil.which("apt-get") is not None


def install_command(package: str) -> str:
    """Return the command that installs a Debian package on this system; empty if none is known."""
    if is_macos():
        return f"brew install {package}"
    for manager, program in (("apt", "apt-get"), ("dnf", "dnf")):
        if shutil.which(program):
            return (
                f"{_sudo_prefix()}{program} install "
                f"{PACKAGE_NAMES.get(package, {}).get(manager, package)}"
            )
    return ""


def start_engine_hint() -> str:
    """Return a hint that says how to get a Docker engine on this machine."""
    if is_macos():
        return f"start Docker Desktop, OrbStack or Colima; to install one: `{INSTALL_COLIMA}`"
    if can_install():
        return "`inv setup` starts an engine"
    start = f"{_sudo_prefix()}systemctl start docker"
    if shutil.which("dockerd"):
        return f"`{start}`"
    install = install_command("docker.io")
    if not install:
        return "install Docker or Podman with the packages of this system, and start it"
    return f"`{install} && {start}`"


def docker_group_hint() -> str:
    """Return a hint that says how a user gets access to the engine's socket."""
    if is_macos():
        return start_engine_hint()
    return "`sudo usermod -aG docker $USER`, then log in again"


def _sudo_prefix() -> str:
    return "" if os.geteuid() == 0 else "sudo "
