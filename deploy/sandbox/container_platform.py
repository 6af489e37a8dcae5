"""What the emulated container platforms have in common: speed, hosts, background work, records."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.sandbox.arm import ResourceManager
from deploy.sandbox.background import Tasks
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.engine import Engine
from deploy.sandbox.https_server import HttpsServer, RequestHandler
from deploy.sandbox.identities import Directory
from deploy.sandbox.image_pull import ImagePuller
from deploy.sandbox.time_scale import TimeScale
from deploy.sandbox.vault import Vault


@dataclass(frozen=True)
class Services:
    """The services of one emulated Azure that every container platform uses."""

    arm: ResourceManager
    authority: CertificateAuthority
    directory: Directory
    engine: Engine
    puller: ImagePuller
    vaults: Mapping[str, Vault]


class ContainerPlatform:
    """A platform that runs containers; `path` is in the paths of all requests about it."""

    # Ends of paths whose requests change nothing, although their method is not GET.
    READ_ONLY_ROUTES: tuple[str, ...] = ()

    def __init__(self, services: Services, path: str) -> None:
        self.services = services
        self.arm = services.arm
        self.directory = services.directory
        self.pace = TimeScale()
        self.lock = threading.RLock()
        self.tasks = Tasks([])
        self._path = path
        # All hosts since the last reset.
        self._hosts: list[HttpsServer] = []

    def open_host(self, service: RequestHandler) -> HttpsServer:
        """Start a server on an address of its own."""
        server = self.add_host(service)
        server.start()
        return server

    def add_host(self, service: RequestHandler) -> HttpsServer:
        """Return a server on an address of its own, not started yet."""
        server = HttpsServer(self.services.authority, service)
        self._hosts.append(server)
        return server

    @contextlib.contextmanager
    def hold_operations(self) -> Iterator[None]:
        """Keep operations from ending inside the block."""
        self.pace.completion_gate.clear()
        try:
            yield
        finally:
            self.pace.completion_gate.set()

    @property
    def writes(self) -> list[str]:
        """All requests that changed something here, as `PUT onlineEndpoints/faq`."""
        requests = self.arm.server.requests("PUT|PATCH|DELETE|POST", f"/{self._path}/")
        paths = [
            (request.method, request.path.partition("?")[0].partition(f"/{self._path}/")[2])
            for request in requests
        ]
        return [
            f"{method} {path}" for method, path in paths if not path.endswith(self.READ_ONLY_ROUTES)
        ]

    def problems(self) -> list[str]:
        """Return errors of the emulator, including those of hosts that were removed."""
        return [text for host in self._hosts for text in host.failures] + self.tasks.failures

    def reset(self) -> None:
        """Remove everything, and restore the defaults."""
        self.pace.completion_gate.set()
        self._close_all()
        self.tasks.join()
        self._clear()
        self.tasks.failures.clear()
        self._hosts.clear()
        self.pace.reset()

    def _close_all(self) -> None:
        """Stop all hosts and containers."""

    def _clear(self) -> None:
        """Forget all resources, and restore the platform's own defaults."""
