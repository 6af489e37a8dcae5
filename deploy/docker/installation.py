"""Install what is missing on a machine: a Docker engine, and the tool that makes a base image."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from deploy.core import progress
from deploy.core.errors import DeployError
from deploy.docker import engine, operating_system
from deploy.docker.endpoint import find_other_sockets

DOCKERD_LOG = Path("/var/log/dockerd.log")
START_SECONDS = 60


def ensure_engine() -> None:
    """Return once an engine answers; on Debian or Ubuntu as root, install and start one if needed.

    Raises `DeployError` with the next command on other systems, and if another engine is configured
    or another socket exists.
    """
    try:
        engine.connect()
        return
    except DeployError:
        if (
            not operating_system.can_install()
            or not engine.find_endpoint().is_default
            or find_other_sockets()
        ):
            raise
    if shutil.which("dockerd") is None:
        with progress.phase(
            "engine", "installing Docker's engine from the distribution's packages"
        ):
            install_packages("docker.io")
    with progress.phase("engine", "starting dockerd"):
        _start_dockerd()


def ensure_mmdebstrap() -> None:
    """Install mmdebstrap if it is missing. Raises `DeployError` if that is not possible."""
    if shutil.which("mmdebstrap"):
        return
    if not operating_system.can_install():
        raise DeployError(
            "base image",
            "the Python image cannot be pulled, and there is no mmdebstrap to make one",
            f"set FLOW_BASE_IMAGE to an image that can be pulled{_mmdebstrap_hint()}",
        )
    with progress.phase("base", "installing mmdebstrap"):
        install_packages("mmdebstrap")


def _mmdebstrap_hint() -> str:
    if not operating_system.is_macos() and shutil.which("apt-get"):
        return f", or `{operating_system.install_command('mmdebstrap')}`"
    return "; one can be made on Debian and Ubuntu only"


def install_packages(*packages: str) -> None:
    """Install Debian packages. Raises `DeployError` with the end of apt's output if that fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            last_lines = " ".join((result.stderr or result.stdout).strip().splitlines()[-2:])
            raise DeployError(
                " ".join(command), last_lines or "it failed", "repair apt, then try again"
            )


def _start_dockerd() -> None:
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "start", "docker"], check=False, capture_output=True)
    else:
        for package, program in (
            ("iptables", "iptables"),
            ("ca-certificates", "update-ca-certificates"),
        ):
            if shutil.which(program) is None:
                install_packages(package)
        with DOCKERD_LOG.open("ab") as log:
            # In a session of its own, the engine outlives this task and Ctrl-C in the terminal.
            subprocess.Popen(
                ["dockerd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            engine.connect()
            return
        except DeployError:
            time.sleep(0.2)
    tail = (
        "\n".join(DOCKERD_LOG.read_text(errors="replace").splitlines()[-5:])
        if DOCKERD_LOG.exists()
        else ""
    )
    raise DeployError(
        "dockerd", f"it did not answer within {START_SECONDS} s\n{tail}", f"see {DOCKERD_LOG}"
    )
