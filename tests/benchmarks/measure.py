"""Measure an image: its size, the time to its first answer, and its memory once it is idle.

The processes' memory is read from /proc, so the engine must run on this machine, and the benchmark
as root.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.models.containers import Container

from tests.benchmarks import images

PORT = "8080/tcp"
POLL_SECONDS = 0.02
START_LIMIT_SECONDS = 180
IDLE_LIMIT_SECONDS = 120
IDLE_STEP_SECONDS = 2
IDLE_CHANGE = 0.005


@dataclass(frozen=True)
class Built:
    """An image, and the seconds it took to build; `docker_seconds` without the packing before."""

    image: str
    seconds: float
    docker_seconds: float | None = None


@dataclass(frozen=True)
class Run:
    """One container's life: seconds from its start to the first score, then its idle memory.

    `pss` is the sum over its processes of their proportional share of memory, `cgroup` what the
    kernel accounts to the container less the file cache that it can drop; both in bytes.
    """

    first_score_seconds: float
    pss: int
    cgroup: int
    processes: int


def size(client: docker.DockerClient, image: str) -> int:
    """Return the bytes of `image` with all its layers, unpacked, as `docker images` shows them."""
    return int(client.images.get(image).attrs["Size"])


def run(
    client: docker.DockerClient, image: str, sample: Any, environment: Mapping[str, str]
) -> Run:
    """Start a container of `image`, score `sample`, wait until it is idle, and look at it."""
    with _container(client, image, environment) as container:
        began = time.monotonic()
        container.start()
        _score(container, sample, began + START_LIMIT_SECONDS)
        seconds = time.monotonic() - began
        pss = _idle_pss(container)
        return Run(seconds, pss, _cgroup(container), len(_processes(container)))


@contextmanager
def _container(
    client: docker.DockerClient, image: str, environment: Mapping[str, str]
) -> Iterator[Container]:
    container = client.containers.create(
        image,
        environment=dict(environment),
        labels={images.LABEL: "yes"},
        # Port 0: one that is free.
        ports={PORT: ("127.0.0.1", 0)},
        extra_hosts={"host.docker.internal": "host-gateway"},
        detach=True,
    )
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def _score(container: Container, sample: Any, deadline: float) -> None:
    """POST `sample` again and again until it is answered with 200.

    Raises `RuntimeError` with the container's last lines at the deadline, or once it has ended.
    """
    container.reload()
    bindings = container.attrs["NetworkSettings"]["Ports"]
    url = f"http://127.0.0.1:{bindings[PORT][0]['HostPort']}/score"
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


def _idle_pss(container: Container) -> int:
    """Return the memory once it has stopped to change: further workers may still be loading."""
    deadline = time.monotonic() + IDLE_LIMIT_SECONDS
    before = _pss(container)
    while time.monotonic() < deadline:
        time.sleep(IDLE_STEP_SECONDS)
        now = _pss(container)
        if abs(now - before) <= IDLE_CHANGE * before:
            return now
        before = now
    raise RuntimeError(f"the memory still changes {IDLE_LIMIT_SECONDS} s after the first score")


def _pss(container: Container) -> int:
    return sum(_pss_of(process) for process in _processes(container))


def _processes(container: Container) -> list[int]:
    """Return the ids of the container's processes, as this machine numbers them."""
    table: dict[str, Any] = container.top()  # type: ignore[assignment]
    column = table["Titles"].index("PID")
    return [int(row[column]) for row in table["Processes"]]


def _pss_of(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    kilobytes = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return sum(map(int, kilobytes)) * 1024


def _cgroup(container: Container) -> int:
    now: dict[str, Any] = container.stats(stream=False)  # type: ignore[assignment]
    memory = now["memory_stats"]
    details = memory["stats"]
    # The name in version 1 of control groups, and in version 2.
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return int(memory["usage"]) - int(cache)
