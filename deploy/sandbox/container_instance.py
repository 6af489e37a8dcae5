"""A container on this machine's engine: its ports, its output, and its requests in progress."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

import docker.errors
from docker.models.containers import Container

from deploy.sandbox.engine import Engine, remove_container

DRAIN_SECONDS = 30
KILLED = "137"


class ContainerInstance:
    """One container of a platform. `in_flight` is the number of its requests in progress."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle = threading.Condition()
        self._ports: dict[int, int] = {}
        self.container: Container | None = None
        self.in_flight = 0

    def run_container(
        self, image: str, name: str, variables: Mapping[str, str], ports: set[int]
    ) -> None:
        """Create and start the container."""
        self.container = self._engine.create(image, name, variables, ports)
        self.container.start()
        self.read_ports()

    def read_ports(self) -> None:
        """Read the ports of this machine, which differ after each start."""
        assert self.container
        self.container.reload()
        ports = self.container.attrs["NetworkSettings"]["Ports"] or {}
        # There are no bindings if the container has exited already.
        self._ports = {
            int(port.partition("/")[0]): int(bindings[0]["HostPort"])
            for port, bindings in ports.items()
            if bindings
        }

    def find_port(self, port: int) -> int:
        """Return the port of this machine for a port of the container, 0 if there is none."""
        return self._ports.get(port, 0)

    def exit_code(self) -> str:
        """Return the container's exit code, empty while it runs."""
        container = self.container
        try:
            if container:
                container.reload()
        except docker.errors.NotFound:
            container = None
        if container is None:
            return KILLED
        exited = container.status in ("exited", "dead")
        return str(container.attrs["State"]["ExitCode"]) if exited else ""

    def output(self, timestamps: bool = True) -> str:
        """Return what the container has printed, even after it exited."""
        container = self.container
        with contextlib.suppress(docker.errors.APIError):
            if container:
                return container.logs(timestamps=timestamps).decode("utf-8", "replace")
        return ""

    @contextlib.contextmanager
    def mark_in_use(self) -> Iterator[None]:
        """Keep `drain` from removing the container inside the block."""
        with self._idle:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._idle:
                self.in_flight -= 1
                self._idle.notify_all()

    def drain(self) -> None:
        """Remove the container once its requests in progress are answered."""
        with self._idle:
            self._idle.wait_for(lambda: not self.in_flight, DRAIN_SECONDS)
        self.close()

    def close(self) -> None:
        """Remove the container."""
        if self.container is not None:
            remove_container(self.container)
            self.container = None
