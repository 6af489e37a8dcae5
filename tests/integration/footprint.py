"""What a container takes, and whether it is still the one that it was."""

from __future__ import annotations

import time
from typing import Any

from docker.models.containers import Container

MEGABYTE = 2**20
# Seconds: the kernel lets go of the buffers of closed connections a little later.
SETTLING = 15


def memory(container: Container) -> float:
    """Return the memory of all processes of `container` in MB, as its cgroup counts it.

    Without the page cache that can be dropped, as `docker stats` shows it.
    """
    counted: Any = container.stats(stream=False)
    found = counted["memory_stats"]
    details = found["stats"]
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    return float(found["usage"] - cache) / MEGABYTE


def settles_below(limit: float, container: Container) -> bool:
    """Return whether the memory of `container` is, or soon falls, below `limit` (MB)."""
    until = time.monotonic() + SETTLING
    while memory(container) >= limit:
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True


def processes(container: Container) -> list[str]:
    """Return the ids of the processes of `container`: a worker that was replaced has another."""
    rows = container.top(ps_args="-eo pid,args")["Processes"]
    return sorted(row[0] for row in rows)
