"""The memory, files and processes of a container."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from docker.models.containers import Container

MEGABYTE = 2**20
# Seconds: closed connections, and the kernel's buffers of them, go a little later.
SETTLING = 15
# Counts the open files of all processes; their program is all that an image has.
COUNT = """
import os
print(sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in os.listdir("/proc") if pid.isdigit()))
"""


def memory(container: Container) -> float:
    """Return the memory of all processes of `container` in MB, as its cgroup counts it.

    Without the page cache that can be dropped, as `docker stats` shows it.
    """
    counted: Any = container.stats(stream=False)
    found = counted["memory_stats"]
    details = found["stats"]
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    return float(found["usage"] - cache) / MEGABYTE


def descriptors(container: Container) -> int:
    """Return how many files and connections the processes of `container` have open."""
    done: Any = container.exec_run(["python3", "-c", COUNT])
    assert done.exit_code == 0, done.output
    return int(done.output)


def settles(measured: Callable[[], float], limit: float) -> bool:
    """Return whether what is `measured` is, or soon falls, to `limit` or below."""
    until = time.monotonic() + SETTLING
    while measured() > limit:
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def processes(container: Container) -> list[str]:
    """Return the ids of the processes of `container`: a worker that was replaced has another."""
    rows = container.top(ps_args="-eo pid,args")["Processes"]
    return sorted(row[0] for row in rows)
