"""Run the containers of emulated deployments and sites on this machine's Docker engine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

import docker
import docker.errors
from docker.models.containers import Container

from deploy.docker import engine as deploy_engine
from deploy.sandbox.https_server import HOST

ROOT = Path(__file__).parents[2]
RUN_LABEL = "flow-deploy.emulator"
MEMORY = "512m"


def connect() -> docker.DockerClient:
    """Return a client for the engine that the docker command uses."""
    return deploy_engine.connect()


def remove_labelled_containers(client: docker.DockerClient, label: str) -> None:
    """Remove every container that carries `label`."""
    # Sparse: no query for each container, which may be gone by then.
    for container in client.containers.list(all=True, filters={"label": label}, sparse=True):
        remove_container(container)


def remove_container(container: Container) -> None:
    """Remove a container, whether it runs or not."""
    with contextlib.suppress(docker.errors.NotFound):
        try:
            container.remove(force=True, v=True)
        except docker.errors.APIError as error:
            # 409: another client is removing it.
            if error.status_code != 409:
                raise


class Engine:
    """Starts labelled containers, which are removed at the latest when this process ends."""

    def __init__(self) -> None:
        self.label = f"{RUN_LABEL}={uuid.uuid4()}"
        self._client: docker.DockerClient | None = None
        self._sweeper: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._pulled: set[str] = set()

    @property
    def client(self) -> docker.DockerClient:
        """The Docker client, connected on first use."""
        with self._lock:
            if self._client is None:
                command = [sys.executable, "-m", "deploy.sandbox.container_reaper", self.label]
                # A session of its own: Ctrl-C must reach only the tests, which clean up themselves.
                self._sweeper = subprocess.Popen(
                    command, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True
                )
                self._client = connect()
            return self._client

    def pull(self, reference: str, token: str) -> str:
        """Pull an image by digest with a registry's refresh token; return its id.

        Raise `docker.errors.APIError` on failure.
        """
        name, digest = reference.split("@")
        with contextlib.suppress(docker.errors.ImageNotFound):
            return str(self.client.images.get(reference).id)
        auth = {"identitytoken": token}
        image = self.client.images.pull(name, tag=digest, auth_config=auth)
        self._pulled.add(reference)
        return str(image.id)

    def create(
        self, image: str, name: str, variables: Mapping[str, str], ports: set[int]
    ) -> Container:
        """Create a container without starting it; publish its `ports` on this machine."""
        key, _, value = self.label.partition("=")
        return self.client.containers.create(
            image,
            environment=dict(variables),
            extra_hosts={"host.docker.internal": "host-gateway"},
            labels={key: value, f"{RUN_LABEL}.deployment": name},
            mem_limit=MEMORY,
            ports={f"{port}/tcp": (HOST, 0) for port in ports},
        )

    def stop(self) -> None:
        """Remove all containers, and the images that were pulled."""
        with self._lock:
            client, self._client = self._client, None
            sweeper, self._sweeper = self._sweeper, None
        if client:
            remove_labelled_containers(client, self.label)
            for reference in self._pulled:
                with contextlib.suppress(docker.errors.APIError):
                    client.images.remove(reference)
            client.close()
        if sweeper and sweeper.stdin:
            # Any input tells the reaper that there is nothing left to remove.
            with contextlib.suppress(BrokenPipeError):
                sweeper.communicate(b"done")
