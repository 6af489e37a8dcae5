"""A network for one container: the way out, and neither neighbours nor a metadata service."""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors

from deploy.docker import container_output, engine, isolated_container, tar_files
from deploy.errors import DeployError

# The program that runs beside the container.
PROGRAM = Path(__file__).with_name("close_network.py")
READY = "ready"
# Seconds for what comes before and after the program that the network is for.
SLACK = 300


@contextlib.contextmanager
def closed(client: docker.DockerClient, image: str, doing: str, seconds: float) -> Iterator[str]:
    """Yield a `network_mode` for one container; `image` needs Python.

    A container of ours holds the network's namespace and has closed it (`close_network`) before
    the other one starts, which has no right to open it. `host.docker.internal` is this machine in
    both, for `seconds` at least. Raises `DeployError` where the engine does not allow it: nothing
    runs with an open network.
    """
    with _network(client, doing) as network:
        settings = {
            "network_mode": network,
            "cap_add": ["NET_ADMIN"],
            "extra_hosts": {"host.docker.internal": "host-gateway"},
        }
        lifetime = str(math.ceil(seconds + SLACK))
        command = ["python3", "-I", f"/{PROGRAM.name}", lifetime, *_others(client, network)]
        with isolated_container.new_container(client, image, command, doing, settings) as holder:
            holder.put_archive("/", tar_files.pack({PROGRAM.name: PROGRAM}))
            with isolated_container.attached(holder) as frames:
                holder.start()
                if next(container_output.lines(frames), "") != READY:
                    what = f"its network cannot be closed:\n{engine.log_tail(holder)}"
                    hint = "the engine must allow NET_ADMIN in a network namespace of its own"
                    raise DeployError(doing, what, hint)
            yield f"container:{holder.id}"


@contextlib.contextmanager
def _network(client: docker.DockerClient, doing: str) -> Iterator[str]:
    """Yield the name of a new bridge network; remove it at the end.

    Docker separates its bridges from each other. Podman does so with those that were made by
    Docker's API; its default one is open to all, hence `_others`.
    """
    name = f"{isolated_container.NAME}-{uuid.uuid4().hex[:12]}"
    with engine.explained(doing):
        options = {"com.docker.network.bridge.enable_icc": "false"}
        network = client.networks.create(name, driver="bridge", options=options)
        try:
            yield name
        finally:
            with contextlib.suppress(docker.errors.APIError):
                network.remove()


def _others(client: docker.DockerClient, network: str) -> list[str]:
    """Return the subnets of all networks of the engine but `network`."""
    found = []
    for other in client.networks.list():
        pools = (other.attrs.get("IPAM") or {}).get("Config") or () if other.name != network else ()
        found += [str(pool["Subnet"]) for pool in pools if pool.get("Subnet")]
    return sorted(set(found))
