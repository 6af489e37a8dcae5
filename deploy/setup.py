"""Bring up what is missing on a machine: a Docker engine, and the tool that makes a base image."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from deploy import console, machine
from deploy.docker import engine
from deploy.docker.endpoint import other_sockets
from deploy.errors import DeployError

LOG = Path("/var/log/dockerd.log")
START_SECONDS = 60


def ensure_engine() -> None:
    """Return once an engine answers; on Debian or Ubuntu as root, bring one up if need be.

    Raises `DeployError` with the next command elsewhere, and where another engine is chosen or
    another socket is there.
    """
    try:
        engine.connect()
        return
    except DeployError:
        if not machine.can_install() or not engine.endpoint().is_default or other_sockets():
            raise
    if shutil.which("dockerd") is None:
        with console.phase("engine", "installing Docker's engine from the distribution's packages"):
            install("docker.io")
    with console.phase("engine", "starting dockerd"):
        _start()


def ensure_bootstrap() -> None:
    """Install mmdebstrap where it is missing and can be installed.

    Raises `DeployError` elsewhere.
    """
    if shutil.which("mmdebstrap"):
        return
    if not machine.can_install():
        raise DeployError(
            "base image",
            "the Python image cannot be pulled, and there is no mmdebstrap to make one",
            f"set FLOW_BASE_IMAGE to an image that can be pulled{_bootstrap_hint()}",
        )
    with console.phase("base", "installing mmdebstrap"):
        install("mmdebstrap")


def _bootstrap_hint() -> str:
    if not machine.is_macos() and shutil.which("apt-get"):
        return f", or `{machine.install_command('mmdebstrap')}`"
    return "; one can be made on Debian and Ubuntu only"


def install(*packages: str) -> None:
    """Install Debian packages.

    Raises `DeployError` with the end of apt's output where that fails.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            last = " ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
            raise DeployError(" ".join(command), last or "it failed", "repair apt, then try again")


def _start() -> None:
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "start", "docker"], check=False, capture_output=True)
    else:
        for package, program in (
            ("iptables", "iptables"),
            ("ca-certificates", "update-ca-certificates"),
        ):
            if shutil.which(program) is None:
                install(package)
        with LOG.open("ab") as log:
            # A session of its own: the engine outlives this task, and the terminal's Ctrl-C.
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
    tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-5:]) if LOG.exists() else ""
    raise DeployError(
        "dockerd", f"it did not answer within {START_SECONDS} s\n{tail}", f"see {LOG}"
    )
