"""Docker's daemon with either of its image stores.

The store of containerd is the default of new installations since Docker 29: images are stored as they
are in a registry, manifests and indexes, layers compressed. Graph drivers are the classic store: the
layers unpacked, the configuration, and nothing of the manifest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.engines import bridge, debian_root, engine
from tests.engines.engine import DATA, ENGINE, SOCKET, Engine

PACKAGES = ("containerd", "docker.io", "runc")


@contextlib.contextmanager
def run_containerd(registry_mirror: str | None = None) -> Iterator[Engine]:
    """Run a new Docker with the store of containerd inside of the block.

    `registry_mirror` is the URL of what stands for Docker Hub.
    """
    root = debian_root.ensure(debian_root.NEWEST, PACKAGES)
    settings = {"features": {"containerd-snapshotter": True}}
    with _run("containerd", root, settings, registry_mirror) as running:
        yield running


@contextlib.contextmanager
def run_classic(registry_mirror: str | None = None) -> Iterator[Engine]:
    """Run an old Docker with a graph driver inside of the block, as `run_containerd` does."""
    root = debian_root.ensure(debian_root.OLD, PACKAGES)
    settings = {"storage-driver": "overlay2"}
    with _run("classic", root, settings, registry_mirror) as running:
        yield running


@contextlib.contextmanager
def _run(
    name: str, root: Path, store: Mapping[str, object], registry_mirror: str | None
) -> Iterator[Engine]:
    with bridge.create() as network, engine.state(network) as state:
        settings = {
            **store,
            "data-root": str(DATA),
            "hosts": [f"unix://{SOCKET}"],
            "bridge": network.name,
            # Published ports are served by docker-proxy. See `bridge.reserve`.
            "iptables": False,
            "ip6tables": False,
            "default-address-pools": [{"base": network.pool, "size": 27}],
            "registry-mirrors": [registry_mirror] if registry_mirror else [],
        }
        (state.engine / "daemon.json").write_text(json.dumps(settings), "utf-8")
        command = ["dockerd", "--config-file", str(ENGINE / "daemon.json")]
        with engine.run(name, root, state, command) as running:
            yield running
