"""Containers of flows' images, run as strictly as any target does."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Its reaper is a separate image, which a machine without internet access cannot pull. The tests
# remove their containers themselves.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from deploy.core.entities import Image
from deploy.docker import engine
from deploy.server import auth
from deploy.targets import verification


def create(
    image: Image, variables: Mapping[str, str], memory: str | None = None
) -> DockerContainer:
    """Return a container that is not started: read-only root, no capabilities, no tmpfs."""
    container = (
        DockerContainer(image.id)
        .with_exposed_ports(8080)
        .with_kwargs(
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=memory,
            extra_hosts={"host.docker.internal": "host-gateway"},
        )
    )
    for name, value in variables.items():
        container.with_env(name, value)
    return container


def wait_until_ready(
    container: DockerContainer, image: Image, variables: Mapping[str, str], seconds: float = 60
) -> str:
    """Wait until a started container is healthy; return its address. Raise `DeployError`."""
    wrapped: Container = container.get_wrapped_container()
    url = f"http://127.0.0.1:{container.get_exposed_port(8080)}"
    headers = authorization(variables)
    verification.wait_until_ready(url, image, seconds, lambda: _exit_reason(wrapped), headers)
    return url


def authorization(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that authenticate a client of a container with these variables."""
    key = variables.get(auth.KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _exit_reason(container: Container) -> str:
    container.reload()
    if container.status in ("created", "running"):
        return ""
    return f"it ended: {engine.log_tail(container)}"
