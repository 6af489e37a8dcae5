"""A network for one container: internet access, but no other containers and no metadata service."""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors

from deploy.core.errors import DeployError
from deploy.docker import container_output, engine, isolated_container, tar_files

# The program that runs in the helper container.
PROGRAM = Path(__file__).with_name("network_rules.py")
READY = "ready"
# Extra seconds for the steps before and after the program that uses the network.
EXTRA_SECONDS = 300


@contextlib.contextmanager
def create_isolated_network(
    client: docker.DockerClient, image: str, operation: str, seconds: float
) -> Iterator[str]:
    """Yield a `network_mode` for one container; `image` needs Python.

    A helper container holds the network namespace, and restricts it (`network_rules`) before the
    other container starts, which has no permission to undo that. `host.docker.internal` is this
    machine in both. The helper lives for at least `seconds`. Raises `DeployError` if the engine
    does not allow this: nothing runs with an unrestricted network.
    """
    with _create_bridge(client, operation) as network:
        settings = {
            "network_mode": network,
            "cap_add": ["NET_ADMIN"],
            "extra_hosts": {"host.docker.internal": "host-gateway"},
        }
        lifetime = str(math.ceil(seconds + EXTRA_SECONDS))
        command = ["python3", "-I", f"/{PROGRAM.name}", lifetime, *_other_subnets(client, network)]
        with isolated_container.new_container(
            client, image, command, operation, settings
        ) as helper:
            helper.put_archive("/", tar_files.pack({PROGRAM.name: PROGRAM}))
            with isolated_container.attach_output(helper) as frames:
                helper.start()
                if next(container_output.read_lines(frames), "") != READY:
                    message = f"its network cannot be restricted:\n{engine.log_tail(helper)}"
                    hint = "the engine must allow NET_ADMIN in a network namespace of its own"
                    raise DeployError(operation, message, hint)
            yield f"container:{helper.id}"


@contextlib.contextmanager
def _create_bridge(client: docker.DockerClient, operation: str) -> Iterator[str]:
    """Yield the name of a new bridge network; remove it at the end.

    Docker separates its bridges from each other. Podman does so for networks created by Docker's
    API, but its default network is open to all, hence `_other_subnets`.
    """
    name = f"{isolated_container.NAME_PREFIX}-{uuid.uuid4().hex[:12]}"
    with engine.translate_errors(operation):
        options = {"com.docker.network.bridge.enable_icc": "false"}
        network = client.networks.create(name, driver="bridge", options=options)
        try:
            yield name
        finally:
            with contextlib.suppress(docker.errors.APIError):
                network.remove()


def _other_subnets(client: docker.DockerClient, network: str) -> list[str]:
    """Return the subnets of all networks of the engine except `network`."""
    subnets = []
    for other in client.networks.list():
        pools = (other.attrs.get("IPAM") or {}).get("Config") or () if other.name != network else ()
        subnets += [str(pool["Subnet"]) for pool in pools if pool.get("Subnet")]
    return sorted(set(subnets))
