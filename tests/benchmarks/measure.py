"""Measure an image's size, and a container's memory and processor time.

The processes' memory is read from /proc, so the engine must run on this machine, and the benchmark
as root.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker
from docker.models.containers import Container

IDLE_LIMIT_SECONDS = 120
IDLE_STEP_SECONDS = 2
IDLE_CHANGE = 0.005
BLOCK = 1 << 20
# What Docker compresses layers with when it pushes them.
GZIP_LEVEL = 6
GZIP = zlib.MAX_WBITS | 16
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Built:
    """An image, and the seconds it took to build; `docker_seconds` without the packing before."""

    image: str
    seconds: float
    docker_seconds: float | None = None


def size(client: docker.DockerClient, image: str) -> int:
    """Return the bytes of `image` with all its layers, unpacked, as `docker images` shows them."""
    return int(client.images.get(image).attrs["Size"])


def compressed_size(client: docker.DockerClient, image: str) -> int:
    """Return the bytes of the layers of `image` as a registry holds them, each compressed alone."""
    with tempfile.TemporaryFile() as file:
        for piece in client.images.get(image).save(chunk_size=BLOCK):
            file.write(piece)
        file.seek(0)
        with tarfile.open(fileobj=file) as saved:
            manifest = saved.extractfile("manifest.json")
            assert manifest is not None
            layers = json.load(manifest)[0]["Layers"]
            return sum(_compressed(saved.extractfile(name)) for name in layers)


def _compressed(layer: IO[bytes] | None) -> int:
    assert layer is not None
    with layer:
        block = layer.read(BLOCK)
        # An engine that keeps layers as they came from a registry saves them so.
        as_it_is = block.startswith(GZIP_MAGIC)
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)
        length = 0
        while block:
            length += len(block) if as_it_is else len(packer.compress(block))
            block = layer.read(BLOCK)
        return length if as_it_is else length + len(packer.flush())


def idle_pss(container: Container) -> int:
    """Return the memory once it has stopped to change: further workers may still be loading.

    Raises `RuntimeError` where it goes on.
    """
    deadline = time.monotonic() + IDLE_LIMIT_SECONDS
    before = pss(container)
    while time.monotonic() < deadline:
        time.sleep(IDLE_STEP_SECONDS)
        now = pss(container)
        if abs(now - before) <= IDLE_CHANGE * before:
            return now
        before = now
    raise RuntimeError(f"the memory still changes {IDLE_LIMIT_SECONDS} s after the first score")


def pss(container: Container) -> int:
    """Return the sum over the processes of their proportional share of memory, in bytes."""
    table: dict[str, Any] = container.top()  # type: ignore[assignment]
    column = table["Titles"].index("PID")
    return sum(_pss_of(int(row[column])) for row in table["Processes"])


def _pss_of(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    kilobytes = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return sum(map(int, kilobytes)) * 1024


def cgroup_memory(container: Container) -> int:
    """Return what the kernel accounts to the container, less the file cache it can drop; bytes."""
    memory = _statistics(container)["memory_stats"]
    details = memory["stats"]
    # The name in version 1 of control groups, and in version 2.
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return int(memory["usage"]) - int(cache)


def processor_seconds(container: Container) -> float:
    """Return the processor time that the container has taken so far."""
    return int(_statistics(container)["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


def _statistics(container: Container) -> dict[str, Any]:
    # At once: without it the engine takes a second to compare two moments.
    now: dict[str, Any] = container.client.api.stats(  # type: ignore[union-attr]
        str(container.id), stream=False, one_shot=True
    )
    return now
