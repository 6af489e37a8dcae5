"""An engine that runs beside the machine's own, in a root file system and namespaces of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import requests

from deploy.sandbox.certificates import CertificateAuthority
from tests.engines.bridge import Bridge
from tests.engines.debian_root import EngineError

ENTER = Path(__file__).with_name("enter.sh")
# A disk, even where /tmp is memory: layers of images are here.
STATES = Path("/var/tmp")
START_SECONDS = 60
STOP_SECONDS = 20
# Where processes in the engine's root see `State.engine` and `State.data`.
ENGINE = Path("/engine")
DATA = Path("/data")
SOCKET = ENGINE / "docker.sock"


@dataclass(frozen=True)
class State:
    """The folders of one engine, gone when it ends."""

    folder: Path

    @property
    def engine(self) -> Path:
        """Its socket and configuration."""
        return self.folder / "engine"

    @property
    def address(self) -> str:
        """What DOCKER_HOST must be."""
        return f"unix://{self.engine / SOCKET.name}"

    @property
    def authority(self) -> Path:
        """The key of the authority whose certificates the engine accepts."""
        return self.engine / "authority.pem"

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"


@dataclass(frozen=True)
class Engine:
    """A running engine: `address` is what DOCKER_HOST must be."""

    name: str
    address: str
    description: str
    authority: Path


@contextlib.contextmanager
def state(network: Bridge) -> Iterator[State]:
    """Have the folders of the engine on a bridge inside of the block."""
    folder = STATES / network.name
    # What a process that was killed has left.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        for name in ("upper", "work", "root", "data", "engine"):
            (folder / name).mkdir()
        yield State(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def run(name: str, root: Path, state: State, command: list[str]) -> Iterator[Engine]:
    """Run an engine inside of the block; remove its containers and end all its processes after it."""
    process = _start(root, state, command)
    try:
        with _client(process, state) as client:
            try:
                description = f"{name}: {_description(client)}"
                yield Engine(name, state.address, description, state.authority)
            finally:
                _remove_containers(client)
    finally:
        _stop(process)


def _start(root: Path, state: State, command: list[str]) -> subprocess.Popen[bytes]:
    authority = CertificateAuthority(state.engine)
    authority.save_key(state.authority)
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
    enter = [str(ENTER), str(root), str(state.folder)]
    with state.log.open("wb") as log:
        return subprocess.Popen(
            # It ends with this process, however that comes about.
            ["setpriv", "--pdeathsig", "KILL", *unshare, *enter, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal is for the command, after which the engine is stopped.
            start_new_session=True,
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                # The store of containerd verifies where tokens come from, also on this machine.
                "SSL_CERT_FILE": str(ENGINE / authority.bundle.name),
            },
        )


@contextlib.contextmanager
def _client(process: subprocess.Popen[bytes], state: State) -> Iterator[docker.DockerClient]:
    client = _wait(lambda: _connect(state.address), START_SECONDS, process)
    if client is None:
        tail = "\n".join(state.log.read_text("utf-8", "replace").splitlines()[-10:])
        ended = process.poll() is not None
        problem = "ended at once" if ended else f"did not answer within {START_SECONDS} s"
        raise EngineError(f"the engine {problem}:\n{tail}")
    with contextlib.closing(client):
        yield client


def _wait(
    attempt: Callable[[], docker.DockerClient | None],
    seconds: float,
    process: subprocess.Popen[bytes],
) -> docker.DockerClient | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        client = attempt()
        if client:
            return client
        time.sleep(0.05)
    return None


def _connect(address: str) -> docker.DockerClient | None:
    with contextlib.suppress(docker.errors.DockerException, requests.RequestException, OSError):
        client = docker.DockerClient(base_url=address, timeout=60)
        client.ping()
        return client
    return None


def _description(client: docker.DockerClient) -> str:
    version, info = client.version(), client.info()
    platform = (version.get("Platform") or {}).get("Name")
    product = next((part["Name"] for part in version.get("Components", ())), platform or "Engine")
    store = dict(info.get("DriverStatus") or ()).get("driver-type", "graph driver")
    return f"{product} {version['Version']}, API {version['ApiVersion']}, store {info['Driver']} ({store})"


def _remove_containers(client: docker.DockerClient) -> None:
    """Remove all containers: their networks and control groups are the machine's."""
    with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
        for container in client.containers.list(all=True, ignore_removed=True):
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the engine to end; kill what is left, mounts and all."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Its child is killed by that, and is the first process of its namespace.
        process.kill()
        process.wait()
