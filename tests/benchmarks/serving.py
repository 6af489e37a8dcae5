"""A container of a flow's image that serves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker.models.containers import Container

from tests.benchmarks import images, measure

PORT = 8080
PATH = "/score"
POLL_SECONDS = 0.02
START_LIMIT_SECONDS = 180


@dataclass(frozen=True)
class Server:
    """A container that has answered a request.

    `host` is its own address on the engine's bridge: a published port leads through a process of
    the engine, which would take processor time and would accept connections in the server's place.
    """

    container: Container
    host: str
    first_score_seconds: float
    processor_seconds: float

    @property
    def url(self) -> str:
        """Where it scores."""
        return f"http://{self.host}:{PORT}{PATH}"

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.container.kill("SIGTERM")


@contextmanager
def serve(
    client: docker.DockerClient, image: str, environment: Mapping[str, str], sample: Any
) -> Iterator[Server]:
    """Start a container of `image`, wait until it has scored `sample`, and remove it at the end.

    Raises `RuntimeError` with the container's last lines where it does not score.
    """
    container = client.containers.create(
        image,
        environment=dict(environment),
        labels={images.LABEL: "yes"},
        extra_hosts={"host.docker.internal": "host-gateway"},
        detach=True,
    )
    try:
        began = time.monotonic()
        container.start()
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        host = str(next(iter(networks.values()))["IPAddress"])
        _score(container, f"http://{host}:{PORT}{PATH}", sample, began + START_LIMIT_SECONDS)
        seconds = time.monotonic() - began
        yield Server(container, host, seconds, measure.processor_seconds(container))
    finally:
        container.remove(force=True, v=True)


def _score(container: Container, url: str, sample: Any, deadline: float) -> None:
    """POST `sample` again and again until it is answered with 200.

    Raises `RuntimeError` with the container's last lines at the deadline, or once it has ended.
    """
    last = "no answer"
    with requests.Session() as session:
        # A proxy for the internet does not lead to this machine.
        session.trust_env = False
        while time.monotonic() < deadline:
            try:
                response = session.post(url, json=sample, timeout=START_LIMIT_SECONDS)
                if response.status_code == 200:
                    return
                last = f"{response.status_code} {response.text[:300]}"
            except requests.ConnectionError:
                container.reload()
                if container.status != "running":
                    last = f"the container is {container.status}"
                    break
            time.sleep(POLL_SECONDS)
    log = container.logs(tail=30).decode("utf-8", "replace")
    raise RuntimeError(f"the sample was not scored: {last}\n{log}")
