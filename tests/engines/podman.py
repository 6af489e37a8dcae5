"""Podman's service, which speaks Docker's API."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.engines import bridge, debian_root, engine
from tests.engines.engine import DATA, ENGINE, SOCKET, Engine

PACKAGES = ("aardvark-dns", "conmon", "netavark", "nftables", "podman", "runc")
REGISTRIES = """\
unqualified-search-registries = ["docker.io"]

[[registry]]
location = "127.0.0.1"
insecure = true

[[registry]]
location = "localhost"
insecure = true
"""
MIRROR = """
[[registry]]
location = "docker.io"

[[registry.mirror]]
location = "{server}"
insecure = true
"""
# crun does not work with control groups of version 1 beside those of version 2.
SETTINGS = """\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"

[network]
default_subnet = "{subnet}"
default_subnet_pools = [{{base = "{pool}", size = 27}}]
"""
STORAGE = f"""\
[storage]
driver = "overlay"
graphroot = "{DATA}"
runroot = "/run/containers/storage"
"""


VARIABLES = {
    "CONTAINERS_CONF": f"{ENGINE}/containers.conf",
    "CONTAINERS_REGISTRIES_CONF": f"{ENGINE}/registries.conf",
    "CONTAINERS_STORAGE_CONF": f"{ENGINE}/storage.conf",
    "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
}


@contextlib.contextmanager
def run(registry_mirror: str | None = None) -> Iterator[Engine]:
    """Run Podman inside of the block. `registry_mirror` is the URL of what stands for Docker Hub."""
    root = debian_root.ensure(debian_root.NEWEST, PACKAGES)
    with bridge.reserve() as network, engine.state(network) as state:
        settings = SETTINGS.format(
            subnet=network.subnet,
            pool=network.pool,
            # Builds have higher limits by default, which even root may not set everywhere.
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            processes=resource.getrlimit(resource.RLIMIT_NPROC)[0],
        )
        server = urlsplit(registry_mirror).netloc if registry_mirror else ""
        registries = REGISTRIES + (MIRROR.format(server=server) if server else "")
        texts = {
            "containers.conf": settings,
            "registries.conf": registries,
            "storage.conf": STORAGE,
        }
        for name, text in texts.items():
            (state.engine / name).write_text(text, "utf-8")
        command = ["env", *(f"{key}={value}" for key, value in VARIABLES.items())]
        command += ["podman", "system", "service", "--time=0", f"unix://{SOCKET}"]
        with _empty_firewall(root), engine.run("podman", root, state, command) as running:
            yield running


@contextlib.contextmanager
def _empty_firewall(root: Path) -> Iterator[None]:
    """Delete the table of netavark after the block, which it leaves without rules for containers."""
    nft = ["chroot", str(root), "nft"]
    table = ["table", "inet", "netavark"]
    existed = not subprocess.run(
        [*nft, "list", *table], capture_output=True, check=False
    ).returncode
    try:
        yield
    finally:
        if not existed:
            subprocess.run([*nft, "delete", *table], capture_output=True, check=False)
