"""Docker with the image store of containerd: the default of new installations since Docker 29.

Images are stored as they are in a registry: manifests and indexes, layers compressed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from tests.engines import bridge, debian_root, engine
from tests.engines.engine import DATA, ENGINE, SOCKET, Engine

PACKAGES = ("containerd", "docker.io", "runc")


@contextlib.contextmanager
def run(registry_mirror: str | None = None) -> Iterator[Engine]:
    """Run dockerd inside of the block. `registry_mirror` is the URL of what stands for Docker Hub."""
    root = debian_root.ensure(PACKAGES)
    with engine.state() as state, bridge.create() as network:
        settings = {
            "features": {"containerd-snapshotter": True},
            "data-root": str(DATA),
            "hosts": [f"unix://{SOCKET}"],
            "bridge": network.name,
            # Published ports are served by docker-proxy. See `bridge.create`.
            "iptables": False,
            "ip6tables": False,
            "default-address-pools": [{"base": network.pool, "size": 27}],
            "registry-mirrors": [registry_mirror] if registry_mirror else [],
        }
        (state.engine / "daemon.json").write_text(json.dumps(settings), "utf-8")
        command = ["dockerd", "--config-file", str(ENGINE / "daemon.json")]
        with engine.run("containerd", root, state, command) as running:
            yield running
